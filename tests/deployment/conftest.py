"""A Dagster Cloud on loopback and the client that asks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.deployment import graphql, updating
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.login import Login
from builder.deployment.organization import read_organization
from builder.errors import Notice
from builder.system import http
from tests.support.cloud import CloudServer


@pytest.fixture(scope="module")
def one_server() -> Iterator[CloudServer]:
    """The module's."""
    with CloudServer() as server:
        yield server


@pytest.fixture
def server(one_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """The module's server without anything that an earlier test did to it; nobody waits for long."""
    one_server.heal()
    one_server.requests.clear()
    one_server.deployments["prod"].locations.clear()
    one_server.api.registry_is_harbor = False
    monkeypatch.setattr(http, "PAUSE", 0)
    monkeypatch.setattr(graphql, "MAINTENANCE_PATIENCE", 0.05)
    monkeypatch.setattr(updating, "LATE_UPDATE_SECONDS", 0)
    return one_server


@pytest.fixture
def notices() -> list[Notice]:
    """What `cloud` has told."""
    return []


@pytest.fixture
def cloud(server: CloudServer, notices: list[Notice]) -> Iterator[DagsterCloudClient]:
    """The builder's client of `server`, which gives `notices`: other rooms call the server itself `cloud`."""
    with DagsterCloudClient(read_organization(server.environ(), Login), notices.append) as cloud:
        yield cloud
