"""Updating locations: afterwards it is known which were updated, whatever went wrong."""

from __future__ import annotations

import pytest

from builder.deployment import graphql, updating
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.entries import Entry
from builder.deployment.updating import NotUpdated
from builder.errors import CloudError, Notice
from tests.support.cloud import CloudServer, faults
from tests.support.errors import words
from tests.support.locations import document


def test_all_locations_are_updated_in_one_call(cloud: DagsterCloudClient, server: CloudServer) -> None:
    cloud.deploy("prod", [document("sales"), document("stock")], {})

    assert server.operations() == ["deployLocations"]
    assert server.locations() == {"sales": document("sales"), "stock": document("stock")}


@pytest.mark.parametrize(
    "fault, said",
    [
        (faults.InvalidLocation(("no such image", "no such queue")), "no such image\nno such queue"),
        (faults.Unauthorized(), "the token may not update `sales`"),
        (faults.PythonError("Exception: it is broken"), "Exception: it is broken"),
        (faults.GraphQLErrors("Internal Server Error"), "Internal Server Error"),
        (faults.Status(403), "not allowed"),
        (faults.Status(503), "HTTP 503"),
        (faults.Reset(), "`sales` was not updated"),
        (faults.NullData(), "`sales` was not updated"),
    ],
)
def test_a_refused_update_says_why_and_leaves_the_location(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault, said: str
) -> None:
    cloud.deploy("prod", [document(tag="1")], {})
    server.inject("deployLocations", fault)

    with pytest.raises(CloudError) as caught:
        cloud.deploy("prod", [document(tag="2")], {})

    assert said in words(caught.value)
    assert "{'" not in words(caught.value)
    assert server.locations()["sales"] == document(tag="1")


def test_an_update_whose_answer_got_lost_is_known_to_have_taken_place(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice]
) -> None:
    server.inject("deployLocations", faults.LostReply())

    cloud.deploy("prod", [document()], {})

    assert ["`sales` was updated" in notice.text for notice in notices] == [True]


def test_an_update_that_was_not_answered_in_time_may_still_come(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.5))
    server.inject("deployLocations", faults.Hang(), times=1)

    with pytest.raises(NotUpdated, match="`sales` was not updated, but it may still be") as caught:
        cloud.deploy("prod", [document()], {})

    assert caught.value.unknown == {"sales"}
    assert server.operations().count("deployLocations") == 1


def test_an_update_that_comes_late_is_seen(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.5))
    monkeypatch.setattr(updating, "LATE_UPDATE_SECONDS", 60)
    monkeypatch.setattr(updating, "LOOK", 0.001)
    server.inject("deployLocations", faults.Hang(), times=1)
    look = cloud.entries

    def look_too_early(deployment: str, *, retries: int) -> dict[str, Entry]:
        seen = look(deployment, retries=retries)
        server.organization.deploy(server.deployments["prod"], document())
        return seen

    monkeypatch.setattr(cloud, "entries", look_too_early)

    cloud.deploy("prod", [document()], {})

    assert "`sales` was updated" in notices[0].text


def test_an_update_of_which_nothing_can_be_found_out_says_so(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("deployLocations", faults.LostReply())
    server.inject("workspaceOrError", faults.GraphQLErrors())

    with pytest.raises(NotUpdated, match="could not be found out whether `sales` was updated") as caught:
        cloud.deploy("prod", [document()], {})

    assert not caught.value.updated
    assert caught.value.unknown == {"sales"}
    with pytest.raises(NotUpdated, match="could not be found out whether `sales`, `stock` were updated"):
        cloud.deploy("prod", [document("sales"), document("stock")], {})


def test_an_update_of_settings_only_is_not_taken_for_what_was_there(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    cloud.deploy("prod", [document()], {})
    before = cloud.entries("prod")
    # The request is lost on its way, not the answer.
    server.inject("deployLocations", faults.Reset())

    with pytest.raises(NotUpdated, match="`sales` was not updated"):
        cloud.deploy("prod", [document(working_directory="elsewhere")], before)

    server.heal()
    server.inject("deployLocations", faults.LostReply())
    cloud.deploy("prod", [document(working_directory="elsewhere")], before)
    assert server.locations()["sales"]["working_directory"] == "elsewhere"


UNKNOWN = faults.GraphQLErrors("Cannot query field 'deployLocations' on type 'Mutation'.")


def test_an_older_server_gets_one_location_after_the_other(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("deployLocations", UNKNOWN)

    cloud.deploy("prod", [document("sales"), document("stock")], {})

    assert server.operations() == ["deployLocations", *["addOrUpdateLocationFromDocument"] * 2]
    assert list(server.locations()) == ["sales", "stock"]


def test_a_failure_among_single_updates_says_what_was_done(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("deployLocations", UNKNOWN)
    server.inject("addOrUpdateLocationFromDocument", faults.InvalidLocation(), name="stock")

    with pytest.raises(NotUpdated, match="`stock` invalid") as caught:
        cloud.deploy("prod", [document("sales"), document("stock"), document("staff")], {})

    assert caught.value.updated == {"sales"}
    assert not caught.value.unknown

    assert "`sales` had been updated before" in caught.value.what
    assert "`staff` was left unchanged" in caught.value.what
    assert list(server.locations()) == ["sales"]
