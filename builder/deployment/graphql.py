"""A GraphQL client for Dagster Cloud: retries, maintenance pauses and kept connections.

Headers and retries are those of `dagster_cloud_cli.core.graphql_client` (docs/decisions/graphql-client.md says why
its code is not used).
"""

from __future__ import annotations

import platform
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, TypeVar

import httpx

from builder.deployment import cloud_errors
from builder.deployment.operations import CLIENT_VERSION
from builder.deployment.organization import Organization
from builder.errors import CloudError, Notice
from builder.system import http, process

RETRIES: Final = 3
"""As the real client's commands do."""

TIMEOUT: tuple[float, float] = (15, 60)
"""Seconds to connect, and between two pieces of an answer."""

MAINTENANCE_PATIENCE: float = 300
"""Seconds that a run waits in all for a server that is being maintained, if the server does not say less.

The real client waits as long as the server says, 16 hours by default.
"""

_LONGEST_WAIT: Final = 120.0
"""Seconds that one operation may take, retries included, beyond which no further attempt begins."""

_CONNECTIONS: Final = 4
_NOT_FOUND: Final = 404

_T = TypeVar("_T")


class GraphQL:
    """The GraphQL endpoints of an organization; a context manager. Safe to use from several threads.

    :param tell: called with notices while a request waits.

    Raises NetworkError if the environment's proxy or certificates cannot be used.
    """

    def __init__(self, organization: Organization, tell: Callable[[Notice], None]) -> None:
        self.organization = organization
        self._tell = tell
        self._patience = MAINTENANCE_PATIENCE
        self._notified = False
        self._client = http.client(
            connections=_CONNECTIONS,
            timeout=_timeout(),
            headers={
                "Dagster-Cloud-Api-Token": organization.token,
                "Dagster-Cloud-Scope": "deployment",
                "Dagster-Cloud-Version": CLIENT_VERSION,
                "Python-Version": platform.python_version(),
            },
            # A redirection would send the token elsewhere.
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def execute(
        self,
        text: str,
        variables: Mapping[str, object] | None = None,
        *,
        deployment: str | None = None,
        idempotent: bool = False,
        retries: int = RETRIES,
    ) -> dict[str, Any]:
        """Run one operation and return its `data`.

        :param deployment: in whose scope; None for the organization's.
        :param idempotent: a mutation that may be sent again after a time-out.

        Raises CloudError if the server refuses, UnknownOutcomeError if it is unknown what the server did.
        """
        repeatable = idempotent or "mutation " not in text
        question = {"query": text, "variables": dict(variables or {})}
        while True:
            try:
                return http.retrying(
                    lambda: self._once(question, deployment, repeatable=repeatable),
                    attempts=1 + retries,
                    deadline=http.Deadline(_LONGEST_WAIT),
                )
            except cloud_errors.Maintenance as pause:
                self._wait(pause)
            except http.HttpError as error:
                raise cloud_errors.explain(error) from error

    def put_artifact(self, deployment: str, key: str, content: bytes) -> None:
        """Upload a file into the storage of a deployment, as `dagster_cloud_cli.core.artifacts` does.

        Raises CloudError if that fails.
        """

        def put(storage: httpx.Client, place: Mapping[str, Any] | None) -> None:
            if place is None:
                raise CloudError(f"`{self.organization.host}` keeps no files of the deployment `{deployment}`")
            files = {"file": content}
            storage.post(place["url"], data=place["fields"], files=files).raise_for_status()

        self._artifact("gen_artifact_post", deployment, key, put)

    def get_artifact(self, deployment: str, key: str) -> bytes | None:
        """Download a file of the storage of a deployment, likewise; None if it is not there."""

        def get(storage: httpx.Client, place: Mapping[str, Any] | None) -> bytes | None:
            answer = storage.get(place["url"]) if place else None
            # S3 answers 403 to those who may not list what is there.
            if answer is None or answer.status_code in {403, 404}:
                return None
            return answer.raise_for_status().content

        return self._artifact("gen_artifact_get", deployment, key, get)

    def _artifact(
        self,
        route: str,
        deployment: str,
        key: str,
        transfer: Callable[[httpx.Client, Mapping[str, Any] | None], _T],
    ) -> _T:
        """Transfer a file of a deployment; the place that `transfer` gets is None where the server has none."""

        def once() -> _T:
            headers = {"Dagster-Cloud-Deployment": deployment}
            url = f"{self.organization.url}/{urllib.parse.quote(deployment, safe='')}/{route}"
            try:
                asked = self._client.post(url, json={"key": key}, headers=headers, timeout=_timeout())
                if asked.status_code in {401, 403}:
                    raise cloud_errors.denied(asked, self.organization)
                place = None if asked.status_code == _NOT_FOUND else asked.raise_for_status().json()
                # The URL is signed for this one file; the store must not get the token.
                with http.client(connections=1, timeout=_timeout()) as storage:
                    return transfer(storage, place)
            except httpx.HTTPStatusError as error:
                raise http.refused(error.response, self.organization.host) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise http.network_error(error, self.organization.host) from error
            except (ValueError, LookupError, TypeError) as error:
                what = f"the answer of `{self.organization.host}` does not say where its file `{key}` is"
                raise cloud_errors.UnknownOutcomeError(what) from error

        try:
            return http.retrying(once, attempts=1 + RETRIES, deadline=http.Deadline(_LONGEST_WAIT))
        except http.HttpError as error:
            raise cloud_errors.explain(error) from error

    def _wait(self, pause: cloud_errors.Maintenance) -> None:
        state = f"Dagster Cloud (`{self.organization.host}`) is being maintained"
        if not self._notified:
            self._patience = min(self._patience, pause.limit)
        if self._patience <= 0:
            raise CloudError(
                state, detail=pause.message, remedy="Run it again when the maintenance is over"
            ) from None
        if not self._notified:
            self._notified = True
            text = f"{state}; waiting for at most {self._patience:.0f} seconds: {pause.message}"
            self._tell(Notice(text, is_note=True))
        seconds = min(pause.interval, self._patience)
        self._patience -= seconds
        if process.stopping.wait(seconds):
            raise CloudError(f"stopped while {state}") from None

    def _once(self, question: Mapping[str, object], deployment: str | None, *, repeatable: bool) -> dict[str, Any]:
        # Both the path and the header, as `dagster_cloud_cli.commands.ci.utils.client_from_env` has it.
        path = f"/{urllib.parse.quote(deployment, safe='')}" if deployment else ""
        headers = {"Dagster-Cloud-Deployment": deployment} if deployment else {}
        try:
            url = f"{self.organization.url}{path}/graphql"
            response = self._client.post(url, json=question, headers=headers, timeout=_timeout())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = http.network_error(error, self.organization.host)
            failure.transient &= repeatable or not failure.timed_out
            raise failure from error
        return cloud_errors.data_of(response, self.organization)


def _timeout() -> httpx.Timeout:
    connect, answer = TIMEOUT
    return httpx.Timeout(answer, connect=connect)
