"""`builder.status` says what each location runs; `--if-changed` leaves alone what runs the same already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import faults
from tests.support.commands import Ran
from tests.support.deploying import OLD, Deploying, deploying
from tests.support.schemas import check_schema

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deploying]:
    with deploying(tmp_path) as made:
        made.locations("sales", "stock")
        made.deploy().succeeded()
        made.cloud.requests.clear()
        yield made


def status(here: Deploying, *options: str) -> Ran:
    ran = here.place.run("status", *options, env=here.cloud.environ())
    here.said += [ran.stdout, ran.stderr]
    return ran


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_each_location_is_shown_with_its_commit(here: Deploying) -> None:
    here.cloud.organization.add_deployment("staging")
    ran = status(here).succeeded()
    sales, stock = [row for row in rows(ran.stdout) if "loaded" in row]
    assert sales.startswith("prod sales loaded abc1234 20")
    assert sales.endswith("UTC PEX files, Python 3.11")
    assert stock.startswith("stock loaded")
    (only,) = [row for row in rows(status(here, "--location=stock").succeeded().stdout) if "loaded" in row]
    assert only.startswith("prod stock")
    assert "there are no locations in `staging`" in status(here, "--deployment=staging").succeeded().stderr
    assert not here.cloud.uploads()


def told(here: Deploying, *options: str) -> list[dict[str, Any]]:
    document = json.loads(status(here, "--json", "--deployment=prod", *options).stdout)
    check_schema("status", document)
    (deployment,) = document["deployments"]
    assert deployment["url"] == f"{here.cloud.url}/prod/locations"
    return list(deployment["locations"])


def test_machines_are_told_all_of_it(here: Deploying) -> None:
    # As dagster's server tells an error of the code that it met by a call.
    call = faults.PythonError(
        "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
        '\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "Socket closed"\n\tdebug_error_string = ""\n>\n'
    )
    missing = "ModuleNotFoundError: No module named 'my_dagster'"
    here.cloud.organization.load_errors["stock"] = faults.PythonError(
        f"dagster._core.errors.DagsterUserCodeLoadError: {missing}\n", (), ((True, call),)
    )
    here.change("stock")
    assert f"does not load there: {missing}\n\nhint: " in here.deploy().failed()
    sales, stock = told(here)
    assert (sales["name"], sales["state"], sales["commit"]) == ("sales", "loaded", "abc1234")
    assert sales["pex_tag"] == here.runs("sales")
    assert sales["error"] is None
    assert (stock["state"], stock["error"]) == ("failed", {"what": missing, "lines": [missing]})
    ran = status(here)
    assert f"location `stock`: it does not load in `prod`: {missing}\n\nhint: " in ran.failed()
    assert "builder.rollback stock" in ran.error
    here.cloud.organization.polls_to_load = None
    here.run_before("sales")
    assert [entry["state"] for entry in told(here, "--location=sales")] == ["loading"]


def test_what_is_not_there_is_told(here: Deploying) -> None:
    error = status(here, "--location=sale").failed()
    assert "there is no location `sale` in `prod`" in error
    assert "Choose from: sales" in error
    assert "there is no deployment `prd`" in status(here, "--deployment=prd").failed()


def test_what_runs_the_same_already_is_said_and_left_alone(here: Deploying) -> None:
    here.change("stock")
    ran = here.deploy("--if-changed").succeeded()
    assert "location `sales` is unchanged since commit abc1234, and not updated" in ran.stderr
    assert "updated `stock`" in ran.stderr
    (update,) = [request for request in here.cloud.requests if "deployLocations" in request.fields]
    names = [each["location_name"] for each in update.arguments["deployLocations"]["document"]["locations"]]
    assert names == ["stock"]
    here.cloud.requests.clear()
    ran = here.deploy("--if-changed", "--code-location-details=deployment=prod,commit_hash=dead123").succeeded()
    assert "deployLocations" not in here.cloud.operations()
    assert any(row.startswith("sales unchanged") for row in rows(ran.stdout))


@pytest.mark.parametrize("case", ["setting", "does not load", "other code"])
def test_what_differs_or_does_not_load_is_updated(here: Deploying, case: str) -> None:
    workspace = here.place.root / "dagster_cloud.yaml"
    if case == "setting":
        workspace.write_text(workspace.read_text() + "    agent_queue: large\n")
    elif case == "does not load":
        here.cloud.organization.load_errors["stock"] = faults.PythonError("ValueError: no\n", ())
        here.deploy().failed()
        here.cloud.organization.load_errors.clear()
    else:
        here.run_before("stock")
        assert here.runs("stock") == OLD
    ran = here.deploy("--if-changed").succeeded()
    assert "updated `stock`" in ran.stderr
    here.assert_whole("stock")
