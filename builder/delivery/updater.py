"""Updating the code locations of a deployment with the uploaded files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from builder.delivery.location_run import LocationRun, names_of, run_or_mark_failed
from builder.delivery.request import Update
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.destination import BranchDeployment, FullDeployment, existing_deployment
from builder.deployment.document import location_document, same_but_commit
from builder.deployment.entries import Entry
from builder.deployment.loading import wait_until_loaded
from builder.deployment.updating import NotUpdated
from builder.deployment.versions import Version, version_of, with_update
from builder.errors import CloudError, LoadError, Notice
from builder.terminal.console import console
from builder.verification.load import VERSIONED_STATE

_RECORDS_AT_ONCE: Final = 4


class Updater:
    """Updates the locations of a deployment to the uploaded files.

    :param base_image: that PEX files are to run on; empty for the standard one.
    :ivar deployment: its name; None until a branch deployment is there.
    """

    def __init__(self, cloud: DagsterCloudClient, update: Update, base_image: str) -> None:
        self._cloud = cloud
        self._destination = update.choice.destination
        self._wait = update.wait
        self._allow_empty = update.allow_empty
        self._snapshot_base = update.snapshot_base
        self._if_changed = update.if_changed
        self._before: dict[str, Entry] = {}
        self._image = base_image or None
        self._asked: str | None = None
        self.deployment: str | None = None

    @property
    def page(self) -> str | None:
        """The URL of the deployment's locations page."""
        return self._cloud.organization.page(self.deployment) if self.deployment else None

    @property
    def branch(self) -> str | None:
        """The branch of a branch deployment."""
        return self._destination.branch if isinstance(self._destination, BranchDeployment) else None

    @property
    def planned(self) -> str:
        """The deployment, for people."""
        if isinstance(self._destination, BranchDeployment):
            base = self._destination.base_deployment
            return f"{self._label}, of {self._destination.repository}" + (f", upon `{base}`" if base else "")
        return f"`{self.deployment}`" + (f", on the image {self._image}" if self._image else "")

    @property
    def planned_deployment(self) -> dict[str, str | None]:
        """The deployment, for machines: its name, or what a branch deployment is found or made by."""
        if not isinstance(self._destination, BranchDeployment):
            return {"name": self.deployment}
        request = self._destination.pull_request
        return {
            "repository": self._destination.repository,
            "branch": self._destination.branch,
            "pull_request": str(request.number) if request else None,
            "base": self._destination.base_deployment,
        }

    @property
    def _label(self) -> str:
        """The deployment's name for people."""
        if isinstance(self._destination, BranchDeployment):
            return self._destination.label
        return f"`{self.deployment}`"

    def running(self, location: str) -> str | None:
        """The pex tag that a full deployment runs a location from now; None if there is none."""
        return self._before[location].pex_tag if location in self._before else None

    def intention(self, location: str) -> str:
        """What `update` would do to a location, for people."""
        if self.deployment is None:
            return "added or updated"
        return "updated" if location in self._before else "added"

    def prepare(self, names: Sequence[str]) -> str | None:
        """Check, before anything is built, that the deployment can be updated.

        :param names: of the full deployments.

        Raises ContextError for a deployment that does not exist. Returns the deployment whose registry serves;
        None if there is none.
        """
        base = None
        if isinstance(self._destination, FullDeployment):
            self.deployment = existing_deployment(self._destination.name, names, branches=True)
            self._before = self._cloud.entries(self.deployment)
        elif self._destination.base_deployment:
            base = existing_deployment(self._destination.base_deployment, names, branches=False)
        self._asked = self.deployment or base or next(iter(names), None)
        return self._asked

    def update(self, runs: Sequence[LocationRun], python_version: str) -> None:
        """Update the deployment with what was published, in one request; failures are recorded on locations."""
        started = time.monotonic()
        with console.progress(f"updating {names_of(runs)}", None):
            settled = run_or_mark_failed(runs, lambda: self._send(runs, python_version), otherwise=True)
        done = [run for run in runs if run.updated]
        if done:
            console.done(f"updated {names_of(done)} in {self._label}", time.monotonic() - started)
        if settled:
            console.set_interrupt_note(
                f"what was updated may still load: {names_of(done)} of {self._label}, see {self.page}"
                if done
                else "no code location was updated"
            )

    def _send(self, runs: Sequence[LocationRun], python_version: str) -> bool:
        """Returns whether the outcome is known for all locations; raises CloudError if none was updated."""
        if isinstance(self._destination, BranchDeployment):
            self.deployment = self._cloud.create_or_update_branch_deployment(
                self._destination, self._snapshot_base
            )
        deployment = self.deployment or ""
        present = self._cloud.entries(deployment)
        self._note_what_was_there(runs, present)
        if not self._allow_empty:
            self._leave_out_empty(runs, deployment)
        runs = [run for run in runs if run.error is None]
        if not runs:
            return True
        states = self._keep_states(runs, deployment)
        for run in runs:
            run.document = location_document(
                run.location,
                pex_tag=run.build.pex_tag if run.build and run.format == "pex" else None,
                python_version=python_version,
                image=self._image if run.format == "pex" else run.reference,
                git=self._destination.git,
                states=states if run.states else None,
            )
        if self._if_changed:
            runs = self._changed(runs)
            if not runs:
                return True
        console.set_interrupt_note(
            f"these may or may not have been updated: {names_of(runs)} of `{deployment}`, see {self.page}"
        )
        try:
            self._cloud.deploy(deployment, [run.document for run in runs], present)
        except NotUpdated as error:
            for run in runs:
                run.updated = run.name in error.updated
                run.error = None if run.updated else error
            return not error.unknown
        for run in runs:
            run.updated = True
        return True

    @staticmethod
    def _changed(runs: Sequence[LocationRun]) -> list[LocationRun]:
        """Those that are to be updated; of the others it is said that they run what was built."""
        for run in runs:
            before = run.before
            run.unchanged = (
                before is not None and bool(before.loads) and same_but_commit(before.document, run.document)
            )
            if before and run.unchanged:
                since = f" since commit {before.commit_hash[:10]}" if before.commit_hash else ""
                console.note(f"  location `{run.name}` is unchanged{since}, and not updated")
        return [run for run in runs if not run.unchanged]

    def _leave_out_empty(self, runs: Sequence[LocationRun], deployment: str) -> None:
        """Refuse an update that would lose all definitions, unless --allow-empty was given."""
        for run in runs:
            if run.empty and run.before and not self._cloud.defines_nothing(deployment, run.name):
                run.error = LoadError(
                    "no definitions were found, but the running version has some",
                    where=run.location.origin,
                    remedy="Find out why nothing is found, or add --allow-empty if that is intended",
                )

    def _keep_states(self, runs: Sequence[LocationRun], deployment: str) -> dict[str, object] | None:
        """Upload the refreshed states to the deployment; returns the versions of all."""
        states = {state.key: (state, path) for run in runs for state, path in run.states}
        for state, path in states.values():
            content = path.read_bytes() if state.kind == VERSIONED_STATE else None
            self._cloud.keep_state(deployment, state.key, state.version, content)
        return self._cloud.latest_states(deployment) if states else None

    def variables(self, location: str) -> dict[str, str]:
        """The variables that the deployment gives a location; none, with a notice, if it does not show them."""
        branch = isinstance(self._destination, BranchDeployment)
        deployment = self.deployment or self._asked
        if deployment is None:
            return {}
        try:
            return self._cloud.variables(deployment, location, branch=branch)
        except CloudError as error:
            text = (
                f"the variables of the deployment are not known, so the state is refreshed without: {error.what};"
                " give those that it needs with --env"
            )
            console.notices([Notice(text)])
            return {}

    def _note_what_was_there(self, runs: Sequence[LocationRun], present: Mapping[str, Entry]) -> None:
        for run in runs:
            # If this run updates a location twice, the entry before the first update counts.
            run.before = run.before or present.get(run.name)
            known = self._before.pop(run.name, None)
            if known and run.before and run.before.timestamp != known.timestamp:
                commit = f" (commit {run.before.commit_hash})" if run.before.commit_hash else ""
                text = (
                    f"another run updated location `{run.name}` in the meantime{commit}; this run replaces that:"
                    " let runs wait for each other, in GitHub Actions with `concurrency`"
                )
                console.notices([Notice(text)])

    @contextlib.contextmanager
    def recording(self, runs: Sequence[LocationRun]) -> Iterator[None]:
        """While it is waited for updated locations, read the records of `builder.rollback`; then write them.

        They say what the deployment ran before and runs now.
        """
        deployment = self.deployment or ""
        with ThreadPoolExecutor(_RECORDS_AT_ONCE) as pool:
            known = {run.name: pool.submit(self._cloud.versions, deployment, run.name) for run in runs}
            yield
            now = time.time()
            updated = [run for run in runs if run.updated]
            list(pool.map(lambda run: self._record(run, known[run.name], now), updated))

    def _record(self, run: LocationRun, recorded: Future[list[Version]], now: float) -> None:
        good = run.loaded or (None if run.error is None else False)
        before = version_of(run.before) if run.before else None
        deployment = self.deployment or ""
        try:
            known = recorded.result()
            versions = with_update(known, before, Version(run.document, now, good))
            if len(known) != len(versions) or not all(map(Version.is_recorded_as, versions, known)):
                self._cloud.record_versions(deployment, run.name, versions)
        except CloudError as error:
            console.note(f"  builder.rollback will not know this version of `{run.name}`: {error.what}")

    def wait(self, runs: Sequence[LocationRun], over: Callable[[LocationRun], None]) -> None:
        """Wait until Dagster Cloud has loaded the updated locations.

        :param over: called with each location that is loaded or failed.
        """
        updated = {run.name: run for run in runs if run.updated and run.build}
        if self._wait is None or self.deployment is None or not updated:
            return
        started = time.monotonic()
        expected = {name: run.version for name, run in updated.items() if run.version}

        def settled(name: str, error: LoadError | None) -> None:
            run = updated[name]
            run.error, run.loaded = error, error is None
            if error is None:
                console.done(f"location `{name}` is loaded", time.monotonic() - started)
            over(run)

        with console.progress(f"waiting for {names_of(list(updated.values()))} to load", None):
            before = {name: run.before for name, run in updated.items() if run.before}
            wait_until_loaded(
                self._cloud,
                self.deployment,
                expected,
                label=self._label,
                before=before,
                timeout=self._wait,
                loaded=settled,
            )
