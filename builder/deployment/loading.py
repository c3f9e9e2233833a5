"""Waiting until the server has loaded the versions that were deployed, and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.entries import Entry
from builder.deployment.server_error import ServerError, cut_server_error
from builder.errors import CloudError, LoadError
from builder.system import process
from builder.system.unset_variables import unset_variable

INTERVAL: float = 2
"""Longest pause between two polls, in seconds; the first ones are shorter."""

_FIRST_POLL_SECONDS: Final = 0.2
"""Seconds until the second poll."""

_GROWTH: Final = 1.5
"""Of the pauses between polls."""

FAILURES: Final = 10
"""Failing polls in a row after which waiting ends."""

OUTAGE_SECONDS: float = 60
"""The same, in seconds."""


def wait_until_loaded(
    cloud: DagsterCloudClient,
    deployment: str,
    expected: Mapping[str, str],
    *,
    label: str,
    before: Mapping[str, Entry],
    timeout: float,
    loaded: Callable[[str, LoadError | None], None],
) -> dict[str, LoadError | None]:
    """Wait until each location is loaded in the version that was deployed; returns why those failed that did.

    :param expected: the pex tag, or the image, of each location.
    :param label: what people call the deployment.
    :param before: what it held before the update.
    :param timeout: in seconds, for all.
    :param loaded: called as each location settles, with its error if it failed.

    A server that cannot be asked is an error of each location that is still waited for; nothing is raised.
    """
    page = cloud.organization.page(deployment)
    waiting = [
        _PendingLocation(
            name=name,
            version=version,
            deployment=label,
            page=page,
            since=before[name].timestamp if name in before else 0,
        )
        for name, version in expected.items()
    ]
    outcome: dict[str, LoadError | None] = {}
    deadline = time.monotonic() + timeout
    looks = _Poller(cloud, deployment)
    pause = min(_FIRST_POLL_SECONDS, INTERVAL)
    while waiting:
        give_up = looks.poll()
        if looks.entries is not None:
            for watched in waiting:
                if verdict := watched.verdict(looks.entries.get(watched.name)):
                    outcome[watched.name] = verdict.error
                    loaded(watched.name, verdict.error)
            waiting = [watched for watched in waiting if watched.name not in outcome]
        if not waiting:
            break
        left = deadline - time.monotonic()
        if give_up is None and left <= 0:
            give_up = _timed_out(cloud, deployment, timeout)
        if give_up is None and process.stopping.wait(min(pause, left)):
            give_up = _stopped
        if give_up:
            for watched in waiting:
                error = outcome[watched.name] = give_up(watched)
                loaded(watched.name, error)
            break
        pause = min(_GROWTH * pause, INTERVAL)
    return outcome


class _Poller:
    """Polls the server; single polls may fail."""

    def __init__(self, cloud: DagsterCloudClient, deployment: str) -> None:
        self._cloud = cloud
        self._deployment = deployment
        self._failures = 0
        self._last_answer = time.monotonic()
        self.entries: Mapping[str, Entry] | None = None
        """The result of the last poll; None if it failed."""

    def poll(self) -> Callable[[_PendingLocation], LoadError] | None:
        """Poll once; returns the error of each location if waiting has to end, else None."""
        self.entries = None
        try:
            self.entries = self._cloud.entries(self._deployment, retries=0)
        except CloudError as error:
            self._failures += 1
            hopeless = self._failures >= FAILURES or time.monotonic() - self._last_answer > OUTAGE_SECONDS
            return _unreachable(error) if hopeless else None
        self._failures, self._last_answer = 0, time.monotonic()
        return None


@dataclass(frozen=True, slots=True)
class _Verdict:
    error: LoadError | None


@dataclass(slots=True, kw_only=True)
class _PendingLocation:
    """A location that is waited for.

    :param deployment: what people call it.
    :param seen: whether the deployed version was ever there.
    :param last: what the server showed last; None if nothing.
    :param since: the timestamp of what was there before the update; 0 if nothing was.
    """

    name: str
    version: str
    deployment: str
    page: str
    since: float
    seen: bool = False
    last: Entry | None = None

    def verdict(self, entry: Entry | None) -> _Verdict | None:
        """The final verdict, or None to wait on."""
        self.last = entry
        if entry is None or entry.version != self.version:
            return self._replaced(entry)
        self.seen = True
        # Until the agent has reported, what shows as loaded is the version before, and so is an error.
        if entry.outdated or entry.load_status != "LOADED":
            return None
        return _Verdict(self._load_error(entry.error) if entry.error else None)

    def _replaced(self, entry: Entry | None) -> _Verdict | None:
        what = f"the location `{self.name}` was updated in {self.deployment}, but then"
        remedy = "See whether another run deploys the same location, and run the one that should win again"
        if entry is None:
            return _Verdict(LoadError(f"{what} removed by someone else", remedy=remedy)) if self.seen else None
        if not self.seen and entry.timestamp <= self.since:
            return None
        commit = f" (commit {entry.commit_hash})" if entry.commit_hash else ""
        return _Verdict(LoadError(f"{what} replaced by another deploy{commit}", remedy=remedy))

    def _load_error(self, error: ServerError) -> LoadError:
        cut = cut_server_error(error)
        why, do = cut.what, "Correct the code and deploy it again, or deploy the version before again"
        if name := unset_variable(cut):
            why = f"its code needs the environment variable `{name}`, which is not set"
            do = f"Set `{name}` in Dagster+ under Deployment, Environment variables; then run this again"
        return LoadError(
            f"the location `{self.name}` was updated in {self.deployment}, but does not load there: {why}",
            # Of one line, it is in the words above.
            detail=None if cut.lines == (why,) else "\n".join(cut.lines),
            remedy=f"{do}; {self.page}",
        )


def _unreachable(error: CloudError) -> Callable[[_PendingLocation], LoadError]:
    def give_up(watched: _PendingLocation) -> LoadError:
        return LoadError(
            f"the location `{watched.name}` was updated in {watched.deployment}, but it could not be found out"
            f" whether it loads: {error.what}",
            detail=error.detail,
            remedy=f"Look at {watched.page}; nothing was rolled back",
        )

    return give_up


def _stopped(watched: _PendingLocation) -> LoadError:
    return LoadError(
        f"the location `{watched.name}` was updated in {watched.deployment}, and may still load",
        remedy=f"Look at {watched.page}; nothing was rolled back",
    )


def _timed_out(
    cloud: DagsterCloudClient, deployment: str, timeout: float
) -> Callable[[_PendingLocation], LoadError]:
    agents, advice = _agents(cloud, deployment)

    def give_up(watched: _PendingLocation) -> LoadError:
        return LoadError(
            f"the location `{watched.name}` was updated in {watched.deployment}, but was not loaded within"
            f" {timeout:.0f} seconds: {_state(watched.last, watched.version)}",
            detail=agents,
            remedy=f"{advice} It may still load: look at {watched.page}, or wait longer with `--wait-timeout`;"
            " nothing was rolled back",
        )

    return give_up


def _state(entry: Entry | None, version: str) -> str:
    if entry is None:
        return "the server does not show it"
    if entry.version != version:
        commit = f" of commit {entry.commit_hash}" if entry.commit_hash else ""
        return f"the server still shows another version{commit}"
    if entry.load_status == "LOADED":
        return "the server still shows the version before"
    return "it is still loading" if entry.load_status == "LOADING" else "no agent has taken it up"


def _agents(cloud: DagsterCloudClient, deployment: str) -> tuple[str, str]:
    """How the agents of a deployment are, and what to do about it."""
    try:
        agents = cloud.agents(deployment)
    except CloudError as error:
        return f"the agents could not be asked for: {error.what}", "Look at the agents of the deployment."
    count: dict[str, int] = {}
    for status in agents.statuses:
        count[status] = count.get(status, 0) + 1
    states = ", ".join(f"{number} {status}" for status, number in sorted(count.items())) or "there are none"
    said = "\n".join((f"agents of the deployment: {states}", *agents.errors))
    if agents.running:
        return said, "An agent is running."
    if agents.serverless:
        return said, "No agent is running; Dagster starts it on its own, so ask their support if it stays so."
    return said, "No agent is running: start it, or look into its log."
