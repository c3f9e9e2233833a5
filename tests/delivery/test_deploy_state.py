"""State-backed components: a deploy without their state, and how that is refreshed and shipped."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cloud import CloudServer
from tests.support.commands import Ran, run_command
from tests.support.deploying import DETAILS
from tests.support.server import CodeServer
from tests.support.state_backed import KEY, TABLES, state_backed_project

pytestmark = [pytest.mark.slow, pytest.mark.network]


@dataclass(slots=True)
class Desk:
    root: Path
    cloud: CloudServer

    @property
    def out(self) -> Path:
        return self.root / "out"

    def deploy(self, *options: str, **environment: str) -> Ran:
        """Deploy with the machine's index and the cache that tests share: real dagster takes a while to fetch."""
        return run_command(
            "deploy",
            *("app", "out", "--upload-pex", "--update-code-location", DETAILS, "--no-wait"),
            *options,
            directory=self.root,
            **{**self.cloud.environ(), **environment},
        )

    def document(self) -> dict[str, object]:
        return self.cloud.locations("prod")["app"]

    def source_files(self) -> list[str]:
        (built,) = json.loads((self.out / "build.json").read_text())["locations"]
        with zipfile.ZipFile(self.out / built["source"]["file"]) as pex:
            return pex.namelist()


@pytest.fixture
def desk(tmp_path: Path, cloud: CloudServer) -> Desk:
    return Desk(tmp_path, cloud)


LOCAL = "working_directory/root/src/app/defs/.local_defs_state/Tables__sales__/state"


def test_missing_local_state_stops_a_deploy_and_refreshing_ships_it(desk: Desk) -> None:
    project = state_backed_project(desk.root / "app")
    error = desk.deploy().failed()
    assert f"the build lacks the state of `{KEY}`" in error
    assert "--refresh-defs-state" in error
    assert not desk.cloud.locations("prod")
    assert "the build lacks the state" in run_command("verify", "out", directory=desk.root).failed()

    # The deployment's variables are what the component needs to ask its service.
    assert desk.cloud.organization.secrets is not None
    desk.cloud.organization.secrets[False] = {TABLES: "orders invoices"}
    before = sorted(project.rglob("*"))
    ran = desk.deploy("--refresh-defs-state").succeeded()
    assert sorted(project.rglob("*")) == before
    assert "location `app` loads: 2 assets" in ran.stderr
    assert "invoices" not in ran.stderr
    assert LOCAL in desk.source_files()
    assert desk.cloud.deployments["prod"].states == {KEY: "__local__"}
    assert desk.document()["defs_state_info"] == {
        "info_mapping": {KEY: {"version": "__local__", "create_timestamp": 1.0}}
    }
    with CodeServer(desk.out) as server:
        location = server.create_location(
            "app", pex_tag=pex_tag(desk), code_source={"module_name": "app.definitions"}
        )
        assert location.assets == ("invoices", "orders")


def pex_tag(desk: Desk) -> str:
    (built,) = json.loads((desk.out / "build.json").read_text())["locations"]
    return str(built["pex_tag"])


def test_in_ci_missing_state_is_refreshed_and_a_failure_is_told_with_its_line(desk: Desk) -> None:
    state_backed_project(desk.root / "app")
    desk.cloud.organization.secrets = None
    ran = desk.deploy(CI="true")
    error = ran.failed()
    assert "src/app/tables.py:" in error
    assert "KeyError: 'TABLES'" in error
    assert "so the state is refreshed without" in ran.stderr
    desk.deploy(CI="true", TABLES="orders").succeeded()
    assert LOCAL in desk.source_files()


def test_state_that_the_deployment_keeps_is_uploaded_by_the_builder(desk: Desk) -> None:
    state_backed_project(desk.root / "app", kind="VERSIONED_STATE_STORAGE")
    # Nothing to wait for: the server loads it with what it keeps.
    ran = desk.deploy().succeeded()
    assert f"the deployment keeps the state of `{KEY}`" in ran.stderr
    assert "defs_state_info" not in desk.document()
    desk.deploy("--refresh-defs-state", TABLES="orders").succeeded()
    prod = desk.cloud.deployments["prod"]
    (version,) = prod.states.values()
    # What the deploy brought is recorded there too.
    states = {name: content for name, content in prod.artifacts.items() if name.startswith("__state__/")}
    assert states == {f"__state__/Tables__sales__/{version}": b'["orders"]'}
    assert desk.document()["defs_state_info"]["info_mapping"][KEY]["version"] == version  # type: ignore[index]


def test_a_location_with_definitions_is_not_replaced_by_an_empty_one(desk: Desk) -> None:
    project = desk.root / "app"
    state_backed_project(project)
    (project / "src/app/defs/tables/defs.yaml").unlink()
    # There is none yet, so nothing is lost.
    desk.deploy().succeeded()
    desk.cloud.organization.definitions["app"] = ["orders"]
    (project / "src/app/more.py").write_text("")
    before = desk.document()
    assert "no definitions were found, but the running version has some" in desk.deploy().failed()
    assert desk.document() == before
    desk.deploy("--allow-empty").succeeded()
