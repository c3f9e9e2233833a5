"""State of state-backed components that a deployment keeps, and the variables that refreshing it takes.

Queries, keys and the way of an upload are those of `dagster_dg_cli` 1.13.27 (`utils/plus/defs_state_storage.py`,
`utils/plus/gql.py`) and `dagster_cloud_cli.core.artifacts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from builder.deployment.cloud_errors import UnknownOutcomeError
from builder.deployment.graphql import GraphQL
from builder.errors import CloudError

LATEST_QUERY: Final = """
    query getLatestDefsStateInfo {
        latestDefsStateInfo {
            keyStateInfo {
                name
                info {
                    version
                    createTimestamp
                }
            }
        }
    }
"""

SET_LATEST_MUTATION: Final = """
    mutation setLatestDefsStateVersion($key: String!, $version: String) {
        setLatestDefsStateVersion(key: $key, version: $version) {
            ok
        }
    }
"""

_SENDINGS: Final = 2

SECRETS_QUERY: Final = """
query AllSecretsQuery($onlyViewable: Boolean, $scopes: SecretScopesInput) {
  secretsOrError(onlyViewable: $onlyViewable, scopes: $scopes) {
    __typename
    ... on Secrets {
      secrets {
        localDeploymentScope
        secretName
        secretValue
        locationNames
      }
    }
    ... on UnauthorizedError {
        message
    }
    ... on PythonError {
        message
        stack
    }
  }
}
"""


def keep_state(graphql: GraphQL, deployment: str, key: str, version: str, content: bytes | None) -> None:
    """Store the state of a component in a deployment, which uses it from the next load on.

    :param content: None for one that lies in the source PEX.

    Raises CloudError, also if other bytes are stored than were sent, twice.
    """
    if content is not None:
        # The layout of `DefsStateStorage._get_artifact_key`.
        safe = re.sub(r"[^A-Za-z0-9._-]", "__", key)
        _put_whole(graphql, deployment, f"__state__/{safe}/{version}", content)
    variables = {"key": key, "version": version}
    graphql.execute(SET_LATEST_MUTATION, variables, deployment=deployment, idempotent=True)


def _put_whole(graphql: GraphQL, deployment: str, key: str, content: bytes) -> None:
    for _ in range(_SENDINGS):
        graphql.put_artifact(deployment, key, content)
        if graphql.get_artifact(deployment, key) == content:
            return
    raise CloudError(
        f"the deployment `{deployment}` does not keep `{key}` as it was sent, twice",
        remedy="Run it again; if it stays so, ask Dagster's support",
    )


def latest_states(graphql: GraphQL, deployment: str) -> dict[str, object]:
    """The versions of all states of a deployment, as a location document has them (`DefsStateInfo`)."""
    answer = graphql.execute(LATEST_QUERY, deployment=deployment).get("latestDefsStateInfo") or {}
    try:
        entries = {entry["name"]: _version(entry["info"]) for entry in answer["keyStateInfo"]}
    except (KeyError, TypeError) as error:
        raise UnknownOutcomeError("the answer of Dagster Cloud does not say which states it keeps") from error
    return {"info_mapping": entries}


def _version(info: Mapping[str, Any] | None) -> dict[str, object] | None:
    return {"version": info["version"], "create_timestamp": info["createTimestamp"]} if info else None


def deployment_variables(graphql: GraphQL, deployment: str, location: str, *, branch: bool) -> dict[str, str]:
    """The environment variables that a location gets from Dagster Cloud, as far as the token may see them.

    :param branch: those of branch deployments, instead of those of full ones.

    Raises CloudError.
    """
    scopes = {"allBranchDeploymentsScope" if branch else "fullDeploymentScope": True}
    variables = {"onlyViewable": True, "scopes": scopes}
    answer = graphql.execute(SECRETS_QUERY, variables, deployment=deployment).get("secretsOrError") or {}
    if answer.get("__typename") != "Secrets":
        raise CloudError(
            "Dagster Cloud does not show its environment variables",
            detail=str(answer.get("message") or "") or None,
        )
    return {
        secret["secretName"]: secret["secretValue"]
        for secret in answer["secrets"]
        if not secret["locationNames"] or location in secret["locationNames"]
    }
