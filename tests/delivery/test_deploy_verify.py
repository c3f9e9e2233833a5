"""What does not load is not uploaded; the rest is, and runs."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cloud import CloudServer
from tests.support.commands import Ran, run_command, write_tree
from tests.support.deploying import DETAILS

pytestmark = [pytest.mark.slow, pytest.mark.network]

REPOSITORY = Path(__file__).parents[2]

GOOD = (
    "import dagster as dg\n\n@dg.asset\ndef invoices() -> None: ...\n\ndefs = dg.Definitions(assets=[invoices])\n"
)
BROKEN = "import no_such_module\n"
NEEDY = f"""import os
assert os.environ["DAGSTER_CLOUD_DEPLOYMENT_NAME"] == "prod"
assert os.environ["DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT"] == "0"
assert os.environ["DAGSTER_CLOUD_LOCATION_NAME"] == "needy"
assert "DAGSTER_CLOUD_API_TOKEN" not in os.environ
os.environ["WAREHOUSE_PASSWORD"]
{GOOD}"""


@dataclass(slots=True)
class Desk:
    root: Path
    cloud: CloudServer

    def deploy(self, *options: str, **environment: str) -> Ran:
        """Deploy with the machine's index and the cache that tests share: real dagster takes a while to fetch."""
        return run_command(
            "deploy",
            *("dagster_cloud.yaml", "out", "--upload-pex", "--update-code-location", DETAILS),
            *options,
            directory=self.root,
            **{**self.cloud.environ(), **environment},
        )

    def write(self, **locations: str) -> None:
        files = {"dagster_cloud.yaml": json.dumps({"locations": [_location(name) for name in locations]})}
        for name, code in locations.items():
            files |= {f"{name}/requirements.txt": "dagster\ndagster-cloud\n", f"{name}/definitions.py": code}
        write_tree(self.root, files)


def _location(name: str) -> dict[str, object]:
    return {"location_name": name, "code_source": {"python_file": "definitions.py"}, "build": {"directory": name}}


@pytest.fixture
def desk(tmp_path: Path, cloud: CloudServer) -> Desk:
    return Desk(tmp_path, cloud)


def test_what_does_not_load_is_not_uploaded_and_the_rest_is(desk: Desk) -> None:
    desk.write(sales=GOOD, stock=BROKEN)
    ran = desk.deploy()
    error = ran.failed()
    assert "location `stock`" in error
    assert "No module named 'no_such_module'" in error
    assert "definitions.py:1" in error
    assert "location `sales` loads: 1 asset" in ran.stderr
    assert list(desk.cloud.locations("prod")) == ["sales"]
    built = {
        each["name"]: each for each in json.loads((desk.root / "out" / "build.json").read_text())["locations"]
    }
    assert built["sales"]["source"]["file"] in desk.cloud.objects()
    unsent = built["stock"]["source"]["file"]
    assert unsent not in desk.cloud.objects()
    # Whether the registry has it was found out while it was loaded.
    assert {request.method for request in desk.cloud.requests if unsent in request.path} == {"GET"}


def test_secrets_are_given_to_the_code_only_if_asked_for(desk: Desk) -> None:
    desk.write(needy=NEEDY)
    error = desk.deploy(WAREHOUSE_PASSWORD="open sesame").failed()
    assert "WAREHOUSE_PASSWORD" in error
    assert "--env WAREHOUSE_PASSWORD" in error
    assert desk.cloud.locations("prod") == {}
    ran = desk.deploy("--env=WAREHOUSE_PASSWORD", WAREHOUSE_PASSWORD="open sesame").succeeded()
    assert "open sesame" not in ran.stdout + ran.stderr
    desk.cloud.organization.deployments["prod"].locations.clear()
    desk.deploy("--no-verify").succeeded()


def test_a_deps_pex_that_only_the_registry_has_is_fetched_to_verify_with_it(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    desk.write(sales=GOOD)
    tags = ("--deps-cache-tag-read=main", "--deps-cache-tag-write=main")
    desk.deploy(*tags).succeeded()
    shutil.rmtree(desk.root / "out")
    # Another machine, but for the wheels of uv and the bootstrap.
    cache = tmp_path_factory.mktemp("cache")
    for part in ("tools", "uv"):
        source = Path(os.environ["BUILDER_CACHE_DIR"]) / part
        if source.is_dir():
            (cache / part).symlink_to(source)
    desk.cloud.requests.clear()
    desk.write(sales=GOOD + "\n# changed\n")
    ran = desk.deploy(*tags, BUILDER_CACHE_DIR=str(cache)).succeeded()
    assert "downloaded deps-" in ran.stderr
    assert "location `sales` loads: 1 asset" in ran.stderr
    assert [name.partition("-")[0] for name, _ in desk.cloud.uploads()] == ["source"]
    assert not list((desk.root / "out").glob("deps-*.pex"))
