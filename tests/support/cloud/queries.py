"""The test server, asked without any of its clients: GraphQL, URLs of files, updates."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.cloud.server import CloudServer

# One for all: a client of its own for each request, with its certificates, costs more than the request.
HTTP = httpx.Client()

PEX_URLS = """
mutation GenerateServerlessPexUrlMutation($filenames: [String!]!) {
    generateServerlessPexUrl(filenames: $filenames, method:%s) { url }
}
"""

DEPLOY = """
mutation CliDeployLocations($document: GenericScalar!) {
    deployLocations(document: $document) {
        __typename
        ... on DeployLocationsSuccess { locations { locationName } }
        ... on InvalidLocationError { errors }
        ... on PythonError { message stack }
    }
}
"""

LOCATIONS = """
query {
    workspaceOrError {
        __typename
        ... on PythonError { message }
        ... on Workspace {
            locationEntries {
                loadStatus
                locationOrLoadError {
                    __typename
                    ... on PythonError {
                        message
                        stack
                        errorChain { isExplicitLink error { message stack } }
                    }
                }
            }
        }
    }
    workspace { workspaceEntries { serializedDeploymentMetadata hasOutdatedData hasLoadError } }
}
"""


def post(
    cloud: CloudServer, text: str, deployment: str = "", token: str | None = None, **variables: object
) -> Any:  # noqa: ANN401
    response = HTTP.post(
        f"{cloud.url}/{deployment}/graphql" if deployment else f"{cloud.url}/graphql",
        json={"query": text, "variables": variables},
        headers={"Dagster-Cloud-Api-Token": cloud.token if token is None else token},
    )
    return response.json() if response.headers["Content-Type"] == "application/json" else response


def presigned(cloud: CloudServer, method: str, *names: str) -> list[Any]:
    answer = post(cloud, PEX_URLS % method, filenames=names)
    return [entry["url"] for entry in answer["data"]["generateServerlessPexUrl"]]


def document(name: str = "sales", tag: str = "files=deps-1.pex:source-1.pex", **more: object) -> dict[str, object]:
    return {
        "location_name": name,
        "code_source": {"module_name": "sales"},
        "pex_metadata": {"pex_tag": tag, "python_version": "3.11"},
        **more,
    }


def deploy(cloud: CloudServer, *documents: object) -> Any:  # noqa: ANN401
    return post(cloud, DEPLOY, "prod", document={"locations": documents})["data"]["deployLocations"]


def poll(cloud: CloudServer) -> tuple[bool, str, dict[str, Any] | None, str]:
    """(outdated, load status, location or error, pex tag) of the only location."""
    from dagster_cloud_cli.core.workspace import CodeLocationDeployData  # noqa: PLC0415
    from dagster_shared.serdes.serdes import deserialize_value  # noqa: PLC0415

    data = post(cloud, LOCATIONS, "prod")["data"]
    (entry,) = data["workspace"]["workspaceEntries"]
    (shown,) = data["workspaceOrError"]["locationEntries"]
    metadata = deserialize_value(entry["serializedDeploymentMetadata"], CodeLocationDeployData).pex_metadata
    assert metadata is not None
    return entry["hasOutdatedData"], shown["loadStatus"], shown["locationOrLoadError"], metadata.pex_tag
