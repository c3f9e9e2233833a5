"""State-backed components: a deploy without their state, and how that is refreshed and shipped."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.base_images import runs_only_images
from tests.support.cloud import CloudServer, faults
from tests.support.commands import Ran, run_command
from tests.support.deploying import DETAILS
from tests.support.faulty_registry import serving_faulty_registry
from tests.support.server import CodeServer
from tests.support.state_backed import KEY, TABLES, state_backed_project

pytestmark = [pytest.mark.slow, pytest.mark.network]

CODE_SOURCE = {"module_name": "app.definitions"}


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

    def document(self, name: str = "app") -> dict[str, object]:
        return self.cloud.locations("prod")[name]

    def source_files(self) -> list[str]:
        (built,) = json.loads((self.out / "build.json").read_text())["locations"]
        with zipfile.ZipFile(self.out / built["source"]["file"]) as pex:
            return pex.namelist()


@pytest.fixture
def desk(tmp_path: Path, cloud: CloudServer) -> Desk:
    return Desk(tmp_path, cloud)


LOCAL = "working_directory/root/src/app/defs/.local_defs_state/Tables__sales__/state"


def test_missing_local_state_stops_a_deploy_and_refreshing_ships_it(desk: Desk, code_server: CodeServer) -> None:
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
    code_server.add(desk.out)
    location = code_server.create_location("local", pex_tag=pex_tag(desk), code_source=CODE_SOURCE)
    assert location.assets == ("invoices", "orders")


def pex_tag(desk: Desk) -> str:
    (built,) = json.loads((desk.out / "build.json").read_text())["locations"]
    return str(built["pex_tag"])


def test_in_ci_missing_state_is_refreshed_and_a_layer_above_the_code_of_an_image(desk: Desk) -> None:
    manifest = state_backed_project(desk.root / "app") / "pyproject.toml"
    name = "Sales & Co"
    manifest.write_text(f'{manifest.read_text()}code_location_name = "{name}"\n')
    desk.cloud.organization.secrets = None
    ran = desk.deploy(CI="true")
    error = ran.failed()
    assert "src/app/tables.py:" in error
    assert "KeyError: 'TABLES'" in error
    assert "so the state is refreshed without" in ran.stderr
    with serving_faulty_registry() as registry:
        variables = runs_only_images(desk.cloud, registry, desk.root / "docker")
        ran = desk.deploy(CI="true", TABLES="orders", **variables).succeeded()
        assert f"location `{name}` loads: 1 asset" in ran.stderr
        document = desk.document(name)
        assert document["defs_state_info"]["info_mapping"][KEY]["version"] == "__local__"  # type: ignore[index]
        (built,) = json.loads((desk.out / "build.json").read_text())["locations"]
        image = built["image"]
        repository, _, digest = str(document["image"]).removeprefix(f"{registry.host}/").partition("@")
        assert repository.startswith("acme/prefix/sales-co-")
        assert digest == image["digest"]
        blobs = registry.blobs[repository]
        manifest = json.loads(registry.manifests[repository][digest][0])
        config = json.loads(blobs[manifest["config"]["digest"]])
        code, state = image["layers"][-2:]
        assert (code["title"], state["title"]) == ("source", "state")
        assert manifest["layers"][-1]["digest"] == state["digest"]
        assert config["rootfs"]["diff_ids"][-2:] == [code["diff_id"], state["diff_id"]]
        assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blobs[state["digest"]]))) as archive:
            file = archive.extractfile(LOCAL.replace("working_directory/root", "opt/dagster/app"))
            assert file
            assert file.read() == b'["orders"]'


def test_state_that_the_deployment_keeps_is_uploaded_by_the_builder(desk: Desk, code_server: CodeServer) -> None:
    """The real server loads it with the version in the document.

    What the deployment keeps is a directory there (`UPathDefsStateStorage`, laid out alike): dagster-cloud's own
    storage, `GraphQLDefsStateStorage`, takes an agent's instance with a token.
    """
    state_backed_project(desk.root / "app", kind="VERSIONED_STATE_STORAGE")
    # Nothing to wait for: the server loads it with what it keeps.
    ran = desk.deploy().succeeded()
    assert f"the deployment keeps the state of `{KEY}`" in ran.stderr
    assert "defs_state_info" not in desk.document()
    desk.cloud.inject("artifact", faults.Corrupt(one_byte=True), name="__state__/*", times=1)
    said = desk.deploy("--refresh-defs-state", "--no-verify", TABLES="orders").succeeded().stderr
    assert not desk.cloud.unused_faults()
    assert said.index("refreshed the state of `app`") < said.index("updated `app`")
    prod = desk.cloud.deployments["prod"]
    (version,) = prod.states.values()
    # What the deploy brought is recorded there too.
    states = {name: content for name, content in prod.artifacts.items() if name.startswith("__state__/")}
    assert states == {f"__state__/Tables__sales__/{version}": b'["orders"]'}
    info = desk.document()["defs_state_info"]
    assert info["info_mapping"][KEY]["version"] == version  # type: ignore[index]
    assert code_server.states
    for name, content in states.items():
        path = code_server.states / name.removeprefix("__state__/")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    code_server.add(desk.out)
    location = code_server.create_location("kept", pex_tag=pex_tag(desk), code_source=CODE_SOURCE, states=info)
    assert location.assets == ("orders",)


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
