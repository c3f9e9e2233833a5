"""What does not load is not uploaded; the rest is, and runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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
    asset: str = field(default_factory=lambda: f"invoices_{os.getpid()}_{time.time_ns()}")
    """The name of an asset that no other test has."""

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


@pytest.fixture
def noted(desk: Desk) -> Callable[..., Ran]:
    """Deploys code that notes each time it is loaded in the file `loads`."""
    note = f"with open({str(desk.root / 'loads')!r}, 'a') as loads:\n    loads.write('loaded\\n')\n"
    desk.write(sales=GOOD.replace("invoices", desk.asset) + note)

    def deploy(*options: str, **environment: str) -> Ran:
        (desk.root / "loads").unlink(missing_ok=True)
        return desk.deploy(*options, **environment).succeeded()

    return deploy


def test_the_same_files_are_loaded_once_a_day(desk: Desk, noted: Callable[..., Ran]) -> None:
    def loads() -> int:
        return (desk.root / "loads").read_text().count("\n") if (desk.root / "loads").exists() else 0

    noted()
    assert loads() == 1
    # In another commit too, if it changes no file of the location.
    again = noted("--code-location-details=deployment=prod,commit_hash=" + "b" * 40)
    assert loads() == 0
    assert re.search(r"✓ location `sales` loads: 1 asset \(as the same files did \d+ s ago\)", again.stderr)
    assert desk.cloud.locations("prod")["sales"]["git"]["commit_hash"] == "b" * 40
    # What is given to the code by hand, another variable, and another deployment may make a difference.
    noted("--env=PASSWORD=open sesame")
    assert loads() == 1
    noted(SHOP_REGION="north")
    assert loads() == 1
    desk.cloud.organization.add_deployment("staging")
    noted("--code-location-details=deployment=staging,commit_hash=" + "b" * 40)
    assert loads() == 1
    # `builder.verify` always loads.
    run_command("verify", "out", directory=desk.root).succeeded()
    assert loads() == 2
    desk.write(sales=(desk.root / "sales" / "definitions.py").read_text() + "# changed\n")
    noted()
    assert loads() == 1


def _rewrite(record: Path, when: float) -> None:
    facts = json.loads(record.read_text().partition("\n")[2])
    text = json.dumps({**facts, "time": when})
    record.write_text(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")


def _make_old(record: Path) -> None:
    _rewrite(record, time.time() - 86_401)


def _set_clock_back(record: Path) -> None:
    _rewrite(record, time.time() + 3600)


def _damage(record: Path) -> None:
    record.write_text(record.read_text().replace("assets", "aszets"))


@pytest.mark.parametrize("harm", [_make_old, _damage, _set_clock_back])
def test_a_record_that_is_old_or_damaged_is_not_used(
    desk: Desk, noted: Callable[..., Ran], harm: Callable[[Path], None]
) -> None:
    noted()
    # Tests that run beside this one write records too.
    records = (Path(os.environ["BUILDER_CACHE_DIR"]) / "loads").iterdir()
    (record,) = (path for path in records if desk.asset in path.read_text())

    harm(record)

    assert "same files did" not in noted().stderr
    assert (desk.root / "loads").exists()
    assert "same files did" in noted().stderr


def test_what_did_not_load_is_loaded_again(desk: Desk) -> None:
    desk.write(stock=f"import os\nassert os.path.exists({str(desk.root / 'there')!r})\n{GOOD}")
    desk.deploy().failed()
    desk.deploy().failed()
    (desk.root / "there").touch()
    assert "same files did" not in desk.deploy().succeeded().stderr
