"""Operations and headers are those of Dagster Cloud's own client."""

from __future__ import annotations

from collections.abc import Mapping

import dagster_cloud_cli.version
import pytest
from dagster_cloud_cli import gql
from dagster_cloud_cli.core import graphql_client
from dagster_cloud_cli.core.pex_builder import pex_registry

from builder.deployment import operations
from builder.deployment.cloud import DagsterCloudClient
from tests.support.cloud import CloudServer


def test_operations_are_the_real_clients() -> None:
    ours = {name: text for name, text in vars(operations).items() if name.isupper() and isinstance(text, str)}
    without_a_counterpart = {"LOCATIONS_QUERY", "DEFINITIONS_QUERY", "PEX_URLS_MUTATION", "CLIENT_VERSION"}

    assert dagster_cloud_cli.version.__version__ == operations.CLIENT_VERSION
    assert {name: getattr(gql, name) for name in ours.keys() - without_a_counterpart} == {
        name: text for name, text in ours.items() if name not in without_a_counterpart
    }


def test_urls_are_asked_for_in_the_real_clients_words() -> None:
    assert operations.PEX_URLS_MUTATION % "PUT" == pex_registry.GENERATE_PUT_URL_QUERY
    assert operations.PEX_URLS_MUTATION % "GET" == pex_registry.GENERATE_GET_URL_QUERY


@pytest.mark.parametrize("deployment", [None, "prod"])
def test_headers_are_the_real_clients(
    cloud: DagsterCloudClient, server: CloudServer, deployment: str | None
) -> None:
    with graphql_client.create_graphql_requests_session() as session:
        config = {"agent_token": server.token, "deployment": deployment}
        path = f"/{deployment}" if deployment else ""
        real = graphql_client.create_agent_graphql_client(session, f"{server.url}{path}/graphql", config)
        real.execute(gql.FULL_DEPLOYMENTS_QUERY)
    cloud.check_access() if deployment is None else cloud.agents(deployment)

    theirs, ours, *_ = server.requests
    transport = {"Accept", "Accept-Encoding", "Connection", "Content-Length", "User-Agent", "Host"}

    def meant(headers: Mapping[str, str]) -> dict[str, str]:
        return {name.title(): value for name, value in headers.items() if name.title() not in transport}

    assert theirs.path == ours.path
    assert meant(ours.headers) == meant(theirs.headers)
