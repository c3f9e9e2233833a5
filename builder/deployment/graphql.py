"""One GraphQL operation after another, through the client of dagster-cloud-cli.

That client (`dagster_cloud_cli.core.graphql_client`) sets the headers, retries what may be retried, and obeys the
proxies and certificates of the environment. What it makes of failures is not fit for users: replies of servers as
Python dicts, or hours of silence while a server is being maintained. So each reply is looked at before it is.
"""

from __future__ import annotations

import logging
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final

import requests
from dagster_cloud_cli.core import errors, graphql_client

from builder.deployment import failures
from builder.deployment.connection import Connection
from builder.errors import CloudError, Notice
from builder.system import process

RETRIES: Final = 3
"""As the real client's commands do; after 1, 2 and 4 seconds."""

BACKOFF: float = 0.5
"""Seconds; half of the first wait."""

TIMEOUT: tuple[float, float] = (15, 60)
"""Seconds to connect, and between two pieces of an answer."""

MAINTENANCE_PATIENCE: float = 300
"""Seconds that a run waits in all for a server that is being maintained; the real client waits 16 hours."""

# It says in its own words, on stderr and past the console, what it retries.
logging.getLogger("dagster_cloud").addHandler(logging.NullHandler())


class GraphQL:
    """The GraphQL endpoints of an organization. Safe to use from several threads.

    :param tell: gets what the user should know while a request takes its time.
    """

    def __init__(self, connection: Connection, tell: Callable[[Notice], None]) -> None:
        self.connection = connection
        self._tell = tell
        self._patience = MAINTENANCE_PATIENCE
        self._told = False

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

        Raises CloudError if the server refuses, Uncertain (a CloudError) if it cannot be known what it has done.
        """
        while True:
            try:
                reply = self._once(text, variables, deployment, idempotent=idempotent, retries=retries)
            except failures.Maintenance as pause:
                self._wait(pause)
                continue
            if not isinstance(data := reply.get("data"), dict):
                raise failures.Uncertain(f"`{self.connection.host}` answered without data")
            return data

    def _wait(self, pause: failures.Maintenance) -> None:
        words = f"Dagster Cloud (`{self.connection.host}`) is being maintained"
        if self._patience <= 0:
            raise CloudError(
                words, detail=pause.message, remedy="Run it again when the maintenance is over"
            ) from None
        if not self._told:
            self._told = True
            self._tell(Notice(f"{words}; waiting for at most {self._patience:.0f} seconds: {pause.message}"))
        seconds = min(pause.interval, self._patience)
        self._patience -= seconds
        if process.stopping.wait(seconds):
            raise CloudError(f"stopped while {words}") from None

    def _once(
        self,
        text: str,
        variables: Mapping[str, object] | None,
        deployment: str | None,
        *,
        idempotent: bool,
        retries: int,
    ) -> dict[str, Any]:
        def look(response: requests.Response, **_: object) -> None:
            failures.check(response, self.connection)

        config = {
            "agent_token": self.connection.token,
            "deployment": deployment,
            "retries": retries,
            "backoff_factor": BACKOFF,
            "timeout": TIMEOUT,
        }
        # Both the path and the header, as `dagster_cloud_cli.commands.ci.utils.client_from_env` has it.
        path = f"/{urllib.parse.quote(deployment, safe='')}" if deployment else ""
        url = f"{self.connection.url}{path}/graphql"
        with graphql_client.create_graphql_requests_session() as session:
            session.hooks["response"].append(look)
            client = graphql_client.create_agent_graphql_client(session, url, config)
            try:
                reply: dict[str, Any] = client.execute(text, variables, idempotent_mutation=idempotent)
            except (
                requests.RequestException,
                errors.DagsterCloudAgentServerError,
                errors.DagsterCloudHTTPError,
            ) as error:
                raise failures.explain(error, self.connection) from error
            return reply
