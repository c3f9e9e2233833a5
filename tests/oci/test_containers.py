"""The quickstart's image in a real registry, read by other tools, and run by podman as by a Dagster agent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.oci.layout import read_layout
from builder.resolution import uv
from builder.system import process, storage
from tests.support.commands import Ran
from tests.support.container_registry import PASSWORD, USER, ContainerRegistry, serving_containers
from tests.support.containers import SECONDS, Containers, container_settings, push_base, require_programs
from tests.support.programs import REPOSITORY
from tests.support.state_backed import TABLES, add_state

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.containers]

SITE = "/usr/local/lib/python3.11/dist-packages"


@dataclass(frozen=True, slots=True)
class Pushed:
    """The quickstart's image, built and pushed to its own registry."""

    root: Path
    registry: ContainerRegistry
    containers: Containers

    @property
    def layout(self) -> Path:
        return self.root / "out" / "image-quickstart"

    @property
    def reference(self) -> str:
        digest = json.loads((self.root / "out" / "build.json").read_text())["locations"][0]["image"]["digest"]
        return f"{self.registry.host}/own/quickstart@{digest}"

    def run(self, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a container without a network, as an agent does: with its own command."""
        return self.containers.podman(
            "run",
            "--rm",
            "--quiet",
            "--network=none",
            "--cap-drop=all",
            *options,
            self.reference,
            *words,
            check=False,
        )


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Pushed]:
    require_programs()
    assert pytestconfig.cache is not None
    root = tmp_path_factory.mktemp("quickstart")
    (root / "registry").mkdir()
    shutil.copytree(REPOSITORY / "examples" / "quickstart", root / "project")
    add_state(root / "project")
    with serving_containers(root / "registry") as registry:
        push_base(registry, pytestconfig.cache.mkdir("container-base"))
        workspace = root / "project" / "dagster_cloud.yaml"
        own = f"directory: .\n      registry: {registry.host}/own/quickstart"
        workspace.write_text(workspace.read_text().replace("directory: .", own))
        with container_settings(root, registry) as containers:
            made = Pushed(root, registry, containers)
            build(made).succeeded()
            yield made


@pytest.fixture(scope="module")
def rootfs(pushed: Pushed) -> Iterator[Path]:
    """The files of the image, as umoci unpacks them."""
    bundle = pushed.root / "bundle"
    words = ("unpack", "--image", f"{pushed.layout}:latest", bundle)
    subprocess.run(["umoci", *words], check=True, capture_output=True)
    yield bundle / "rootfs"
    # Seventeen thousand files, for which pytest takes several times longer.
    subprocess.run(["rm", "-rf", bundle], check=True)


def build(made: Pushed, project: str = "project", out: str = "out") -> Ran:
    """Build, verify and push it, logged in as `docker login` does it."""
    login = ("--username", USER, "--password", PASSWORD, made.registry.host)
    made.containers.podman("login", "--authfile", made.root / "auth.json", *login)
    environment = {
        **process.clean_environment(made.containers.environment),
        "PYTHONPATH": str(REPOSITORY),
        "BUILDER_CACHE_DIR": str(storage.cache_directory()),
        "BUILDER_UV": str(uv.executable()),
        "REGISTRY_AUTH_FILE": str(made.root / "auth.json"),
        # In CI, state that is missing is refreshed, and is a layer of its own.
        "CI": "true",
        TABLES: "invoices",
    }
    base = f"--base-image={made.registry.host}/library/python:3.11-slim"
    words = ("-m", "builder.image", made.root / project, made.root / out, base, "--upload")
    finished = subprocess.run(
        [sys.executable, *words],
        cwd=made.root,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    return Ran(finished.returncode, finished.stdout, finished.stderr)


def test_a_code_server_loads_the_definitions_and_a_run_is_executed(pushed: Pushed) -> None:
    # Variables set by agents: dagster_cloud/workspace/user_code_launcher/utils.py, get_grpc_server_env.
    prefix = "DAGSTER_CLI_API_GRPC"
    variables = {
        f"{prefix}_SOCKET": "/tmp/server.sock",  # noqa: S108  (in the container)
        f"{prefix}_MODULE_NAME": "quickstart.definitions",
        f"{prefix}_LAZY_LOAD_USER_CODE": "1",
        "DAGSTER_CURRENT_IMAGE": pushed.reference,
        "DAGSTER_CONTAINER_CONTEXT": "{}",
        "DAGSTER_HOME": "/home/dagster",
    }
    script = """
set -e
dagster api grpc >/tmp/server.log 2>&1 &
for i in $(seq 100); do dagster api grpc-health-check --socket /tmp/server.sock 2>/dev/null && break; done
python3 - <<'P'
from dagster import DagsterInstance
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
origin = GrpcServerCodeLocationOrigin(host="localhost", socket="/tmp/server.sock", location_name="quickstart")
with DagsterInstance.ephemeral() as instance:
    (repository,) = origin.create_location(instance).get_repositories().values()
    print("assets", *sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()))
P
dagster asset materialize --select group:shop -m quickstart.definitions 2>&1 | grep -c RUN_SUCCESS
id -u; pwd; touch made-by-the-user
"""
    options = tuple(word for name, value in variables.items() for word in ("--env", f"{name}={value}"))
    ran = pushed.run("sh", "-c", script, options=options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (assets,) = re.findall(r"(?m)^assets (.*)", ran.stdout)
    # `invoices` is from the layer with the state.
    assert assets.split() == ["daily_revenue", "invoices", "orders"]
    assert ran.stdout.split()[-3:] == ["1", "10001", "/opt/dagster/app"]


def test_code_that_does_not_load_is_explained_and_not_pushed(pushed: Pushed) -> None:
    broken = Path(shutil.copytree(pushed.root / "project", pushed.root / "broken"))
    workspace = broken / "dagster_cloud.yaml"
    workspace.write_text(workspace.read_text().replace("/own/quickstart", "/own/broken"))
    definitions = broken / "quickstart" / "definitions.py"
    definitions.write_text(f"import no_such_module\n{definitions.read_text()}")
    error = build(pushed, "broken", "broken-out").failed()
    assert "there is no module `no_such_module` among its dependencies" in error
    assert f"where: {definitions.relative_to(pushed.root)}:1" in error
    assert not pushed.registry.tags("own/broken")


def test_other_programs_read_every_layer(pushed: Pushed, rootfs: Path, tmp_path: Path) -> None:
    layout = read_layout(pushed.layout)
    diff_ids = json.loads(layout.read(layout.document(layout.image)["config"]["digest"]))["rootfs"]["diff_ids"]
    archive = tmp_path / "image.tar"
    source = f"oci:{pushed.layout}:latest"
    subprocess.run(["skopeo", "copy", "--quiet", source, f"docker-archive:{archive}"], check=True)
    inspected = subprocess.run(
        ["skopeo", "inspect", f"docker-archive:{archive}"], stdout=subprocess.PIPE, check=True
    )
    # skopeo decompressed the layers: each is undamaged if its digest equals its diff id.
    assert json.loads(inspected.stdout)["Layers"] == diff_ids
    assert (rootfs / SITE[1:] / "dagster/__init__.py").is_file()
    assert (rootfs / "opt/dagster/app/data/orders.csv").is_file()


def test_the_files_are_those_that_uv_installs_into_the_base(pushed: Pushed, rootfs: Path, tmp_path: Path) -> None:
    image = rootfs / SITE[1:]
    (lock,) = (pushed.root / "out").glob("deps-*.pylock.toml")
    target = tmp_path / "pylock.toml"
    shutil.copy(lock, target)
    words = ("pip", "install", "--target", tmp_path / "uv", "--python", sys.executable)
    options = ("--requirement", target, "--no-config", "--quiet", "--preview-features", "pylock")
    process.run([uv.executable(), *words, *options], env=process.clean_environment())
    expected = {
        path.relative_to(tmp_path / "uv"): path
        for path in (tmp_path / "uv").rglob("*")
        if path.is_file() and path.relative_to(tmp_path / "uv").parts[0] not in {"bin", "share", ".lock"}
    }
    written = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
    different = [
        name
        for name, path in expected.items()
        if name.name not in written
        and (not (image / name).is_file() or (image / name).read_bytes() != path.read_bytes())
    ]
    assert len(expected) > 8000
    assert different == []
