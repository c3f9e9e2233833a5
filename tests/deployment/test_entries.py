"""What a deployment runs: which version of each location, and whether that defines anything."""

from __future__ import annotations

import pytest

from builder.deployment.cloud import DagsterCloudClient
from builder.errors import CloudError, Notice
from tests.support.cloud import CloudServer, faults
from tests.support.locations import document


def test_what_was_deployed_can_be_read_back(cloud: DagsterCloudClient) -> None:
    cloud.deploy("prod", [document("sales", image="mine:1")], {})

    entry = cloud.entries("prod")["sales"]

    assert (entry.pex_tag, entry.commit_hash, entry.image) == (
        "files=deps-1.pex:source-1.pex",
        "1a2b3c",
        "mine:1",
    )
    assert (entry.outdated, entry.load_status, entry.error) == (True, "LOADING", None)


@pytest.mark.parametrize(
    "fault", [faults.PythonError("Exception: the database is gone"), faults.GraphQLErrors(), faults.NullData()]
)
def test_a_look_at_the_workspace_is_repeated(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault
) -> None:
    cloud.deploy("prod", [document()], {})
    server.inject("workspaceOrError", fault, times=2)

    assert list(cloud.entries("prod")) == ["sales"]

    server.inject("workspaceOrError", fault)
    with pytest.raises(CloudError):
        cloud.entries("prod")


def test_a_server_that_does_not_tell_of_outdated_versions_is_asked_as_the_real_client_asks(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice]
) -> None:
    cloud.deploy("prod", [document()], {})
    message = 'Cannot query field "hasOutdatedData" on type "WorkspaceEntry".'
    server.inject("BuilderLocations", faults.GraphQLErrors(message))

    entry = cloud.entries("prod")["sales"]
    cloud.entries("prod")

    assert (entry.pex_tag, entry.outdated) == ("files=deps-1.pex:source-1.pex", None)
    assert len(notices) == 1


@pytest.mark.parametrize(
    "shown, certain", [({"sales": ["orders"]}, False), ({"sales": []}, True), ({"stock": []}, False)]
)
def test_whether_a_location_defines_nothing(
    cloud: DagsterCloudClient, server: CloudServer, shown: dict[str, list[str]], *, certain: bool
) -> None:
    server.organization.definitions = shown
    assert cloud.defines_nothing("prod", "sales") is certain


def test_a_server_that_does_not_say_what_a_location_defines_is_taken_for_one_that_has_definitions(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.definitions = {"sales": []}
    server.inject("repositoriesOrError", faults.GraphQLErrors("Cannot query field"))
    assert not cloud.defines_nothing("prod", "sales")
