"""A client of Dagster Cloud's API: the operations that the builder needs, with checked answers.

The functions of `dagster_cloud_cli.gql` misread some replies (they never show why a location is invalid), so only
its texts are used (`operations`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from builder.deployment import operations
from builder.deployment.cloud_errors import AGAIN, GraphQLErrors, UnknownOutcomeError
from builder.deployment.defs_state import deployment_variables, keep_state, latest_states
from builder.deployment.destination import BranchDeployment
from builder.deployment.entries import Entry, read_entries
from builder.deployment.graphql import RETRIES, GraphQL
from builder.deployment.organization import Organization
from builder.deployment.updating import reason, update_locations
from builder.deployment.versions import Version, record_versions, recorded_versions
from builder.errors import CloudError, Notice
from builder.publishing.pex_registry import NoUrl
from builder.resolution.transport import Credentials
from builder.system import http, process
from builder.terminal.formatting import quoted

SnapshotCondition = Literal["ON_CREATE", "ON_UPDATE"]
"""`SnapshotBaseDeploymentCondition` of Dagster Cloud's API."""


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a deployment.

    :param serverless: whether they are Dagster's own; None if the server does not say.
    :param statuses: of each, such as `RUNNING` or `NOT_RUNNING`.
    :param errors: what they reported.
    """

    serverless: bool | None
    statuses: tuple[str, ...]
    errors: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether any of them is."""
        return "RUNNING" in self.statuses


@dataclass(frozen=True, slots=True)
class ServerlessRegistry:
    """The container registry of a serverless deployment.

    :param url: such as `host/project/prefix`; None if there is none, or none yet.
    :param credentials: a user and a password; None likewise.
    :param is_harbor: it belongs to the platform that runs images only, no PEX files.
    :param custom_base: images may be built upon others than Dagster's own.
    """

    url: str | None
    credentials: Credentials | None
    is_harbor: bool
    custom_base: bool


class DagsterCloudClient:
    """An organization of Dagster Cloud; a context manager that closes its connections. Safe to use from threads.

    :param tell: called with notices while a request waits.

    Every method raises CloudError if the organization cannot be reached or refuses.
    """

    def __init__(self, organization: Organization, tell: Callable[[Notice], None]) -> None:
        self.organization = organization
        self._graphql = GraphQL(organization, tell)
        self._tell = tell
        self._knows_outdated = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._graphql.__exit__()

    def check_access(self) -> tuple[str, ...]:
        """Check the token with a cheap query; returns the names of the full deployments."""
        deployments = self._graphql.execute(operations.FULL_DEPLOYMENTS_QUERY).get("fullDeployments")
        names = [entry.get("deploymentName") for entry in _mappings(deployments)]
        if not isinstance(deployments, list) or not all(isinstance(name, str) for name in names):
            raise self._unreadable("which deployments there are")
        return tuple(str(name) for name in names)

    def presigned_urls(self, names: Sequence[str], method: Literal["PUT", "GET"]) -> list[str]:
        """URLs at which files can be written or read, in the order of their names; each is a secret."""
        try:
            data = self._graphql.execute(
                operations.PEX_URLS_MUTATION % method, {"filenames": list(names)}, idempotent=True
            )
            generated = data.get("generateServerlessPexUrl")
        except GraphQLErrors:
            raise
        except UnknownOutcomeError as error:
            what = f"{error.what}, when it was asked for the URLs of {quoted(names)}"
            raise CloudError(what, detail=error.detail, remedy=error.remedy) from error
        urls = [entry.get("url") for entry in _mappings(generated)]
        if len(urls) != len(names):
            # The URLs cannot be matched to the names.
            urls = [None] * len(names)
        missing = [name for name, url in zip(names, urls, strict=True) if not url or not isinstance(url, str)]
        if missing:
            verb = {"PUT": "upload", "GET": "read"}[method]
            raise NoUrl(
                f"Dagster Cloud (`{self.organization.host}`) gave no URL to {verb} {quoted(missing)}",
                remedy=f"{AGAIN}; PEX files need an organization with Dagster+ Serverless",
            )
        return [str(url) for url in urls]

    def registry(self, deployment: str | None = None) -> ServerlessRegistry:
        """The registry of a deployment, which says what its agents run.

        A deployment can be moved from one platform to another and back: ask each time.
        """
        try:
            data = self._graphql.execute(operations.GET_ECR_CREDS_QUERY, deployment=deployment)
        except GraphQLErrors as error:
            if error.lacks_field("registryIsHarbor", "registryAllowCustomBase"):
                return ServerlessRegistry(None, None, is_harbor=False, custom_base=False)
            raise
        reply = data.get("serverless")
        known: Mapping[str, object] = reply if isinstance(reply, dict) else {}
        url = known.get("registryUrl")
        return ServerlessRegistry(
            url if url and isinstance(url, str) else None,
            _credentials(known.get("awsAuthToken")),
            is_harbor=bool(known.get("registryIsHarbor")),
            custom_base=bool(known.get("registryAllowCustomBase")),
        )

    def base_image(self, tag: str) -> str:
        """The name of the image that was uploaded to the organization's registry under a tag."""
        url = self.registry().url
        if url is None:
            raise CloudError(
                f"Dagster Cloud (`{self.organization.host}`) names no registry that could hold the image `{tag}`",
                remedy="Write the whole name of the image into SERVERLESS_BASE_IMAGE, and unset"
                " SERVERLESS_BASE_IMAGE_TAG",
            )
        return f"{url}:{tag}"

    def create_or_update_branch_deployment(
        self, branch: BranchDeployment, snapshot_base: SnapshotCondition | None = None
    ) -> str:
        """Create or update the deployment of a branch, at the branch's last commit; returns its name.

        :param snapshot_base: when the state of the base deployment is to be copied; None for never.
        """
        pull_request, base = branch.pull_request, branch.base_deployment
        variables = {
            "branchData": {
                "repoName": branch.repository,
                "branchName": branch.branch,
                "branchUrl": branch.branch_url,
                "pullRequestUrl": pull_request.url if pull_request else None,
                "pullRequestStatus": branch.status,
                "pullRequestNumber": pull_request.number if pull_request else None,
            },
            "commit": {
                "commitHash": branch.commit.hash,
                "timestamp": branch.commit.timestamp,
                "commitMessage": branch.commit.message,
                "commitUrl": branch.commit.url,
                "authorName": branch.commit.author_name,
                "authorEmail": branch.commit.author_email,
                "authorAvatarUrl": branch.commit.avatar_url,
            },
            "baseDeploymentName": base,
            "snapshotBaseCondition": snapshot_base,
        }
        # The same branch gets the same deployment, however often it is asked for.
        data = self._graphql.execute(operations.CREATE_OR_UPDATE_BRANCH_DEPLOYMENT, variables, idempotent=True)
        reply = data.get("createOrUpdateBranchDeployment")
        name = reply.get("deploymentName") if isinstance(reply, dict) else None
        if not name or not isinstance(name, str):
            raise CloudError(
                f"Dagster Cloud made no deployment for the branch `{branch.branch}` of `{branch.repository}`",
                detail=reason(reply),
                remedy="Check that the token may create branch deployments"
                + (f", and that `{base}` is a full deployment" if base else ""),
            )
        return name

    def entries(self, deployment: str, *, retries: int = RETRIES) -> dict[str, Entry]:
        """The locations of a deployment by name: what was deployed, and what has become of it.

        An error in the answer is retried: it is a temporary failure of the server.
        """
        tries = 0
        while True:
            try:
                return self._entries(deployment, retries)
            except UnknownOutcomeError:
                tries += 1
                if tries > retries or process.stopping.wait(http.pause_after(tries)):
                    raise

    def _entries(self, deployment: str, retries: int) -> dict[str, Entry]:
        if self._knows_outdated:
            try:
                return read_entries(
                    self._graphql.execute(operations.LOCATIONS_QUERY, deployment=deployment, retries=retries)
                )
            except GraphQLErrors as error:
                if not error.lacks_field("hasOutdatedData", "metadataTimestamp"):
                    raise
            self._knows_outdated = False
            text = (
                "this server does not report which version is loaded, so a location may count as loaded too early:"
                " look at its page"
            )
            self._tell(Notice(text))
        data = dict(
            self._graphql.execute(operations.WORKSPACE_ENTRIES_QUERY, deployment=deployment, retries=retries)
        )
        data |= self._graphql.execute(
            operations.REPOSITORY_LOCATIONS_QUERY, deployment=deployment, retries=retries
        )
        return read_entries(data)

    def agents(self, deployment: str) -> Agents:
        """The agents of a deployment."""
        kind = self._graphql.execute(operations.AGENT_TYPE_QUERY, deployment=deployment, retries=0)
        current = kind.get("currentDeployment")
        given = current.get("agentType") if isinstance(current, dict) else None
        agents = _mappings(
            self._graphql.execute(operations.AGENT_STATUS_QUERY, deployment=deployment, retries=0).get("agents")
        )
        errors = [entry.get("error") for agent in agents for entry in _mappings(agent.get("errors"))]
        return Agents(
            {"SERVERLESS": True, "HYBRID": False}.get(str(given)),
            tuple(str(agent.get("status")) for agent in agents),
            tuple(str(error.get("message", "")).strip() for error in _mappings(errors)),
        )

    def defines_nothing(self, deployment: str, location: str) -> bool:
        """Whether it is certain that a location as it runs now has no definitions."""
        try:
            answer = self._graphql.execute(operations.DEFINITIONS_QUERY, deployment=deployment, retries=1)
        except CloudError:
            return False
        repositories = answer.get("repositoriesOrError")
        nodes = _mappings(repositories.get("nodes")) if isinstance(repositories, dict) else []
        mine = [node for node in nodes if (node.get("location") or {}).get("name") == location]
        names = [
            str(entry.get("name", entry.get("id")))
            for node in mine
            for kind in ("assetNodes", "jobs", "schedules", "sensors")
            for entry in _mappings(node.get(kind))
        ]
        # Jobs with such names are created by dagster itself.
        return bool(mine) and all(name.startswith("__") for name in names)

    def keep_state(self, deployment: str, key: str, version: str, content: bytes | None) -> None:
        """Store the state of a component in a deployment; see `builder.deployment.defs_state`."""
        keep_state(self._graphql, deployment, key, version, content)

    def latest_states(self, deployment: str) -> dict[str, object]:
        """The versions of all states of a deployment, as a location document has them."""
        return latest_states(self._graphql, deployment)

    def versions(self, deployment: str, location: str) -> list[Version]:
        """The recorded versions of a location, the oldest first."""
        return recorded_versions(self._graphql, deployment, location)

    def record_versions(self, deployment: str, location: str, versions: Sequence[Version]) -> None:
        """Record the versions of a location; see `builder.deployment.versions`."""
        record_versions(self._graphql, deployment, location, versions)

    def variables(self, deployment: str, location: str, *, branch: bool) -> dict[str, str]:
        """The environment variables that a location gets from Dagster Cloud; each is a secret."""
        return deployment_variables(self._graphql, deployment, location, branch=branch)

    def deploy(
        self, deployment: str, documents: Sequence[Mapping[str, object]], before: Mapping[str, Entry]
    ) -> None:
        """Add or update locations, all or none where the server can; NotUpdated says which were updated.

        :param documents: from `location_document`.
        :param before: what `entries` said of the deployment: where no answer comes, it tells an update from what
            was there.
        """
        update_locations(
            self._graphql,
            lambda: self.entries(deployment, retries=1),
            deployment,
            documents,
            self._tell,
            before=before,
        )

    def _unreadable(self, what: str) -> UnknownOutcomeError:
        return UnknownOutcomeError(f"the answer of `{self.organization.host}` does not say {what}")


def _mappings(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _credentials(token: object) -> Credentials | None:
    """The user and the password in a token, which are joined by a colon and encoded by base64."""
    try:
        username, colon, password = base64.b64decode(str(token or ""), validate=True).decode().partition(":")
    except ValueError:
        return None
    return Credentials(username, password) if colon else None
