"""`builder.verify` on projects that load, and on those of `tests/projects/broken-*`, which do not.

The projects require only dagster and dagster-cloud, so they share one deps PEX.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import Ran, run_command, write_tree
from tests.support.projects import PROJECTS

pytestmark = [pytest.mark.slow, pytest.mark.network]

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
BROKEN = sorted(path.name for path in PROJECTS.glob("broken-*"))

MESSAGES = {
    "broken-missing-module": """\
error: location `broken-missing-module`: there is no module `sklearn` among its dependencies
  where: broken-missing-module/app/rates.py:2
  | app/__init__.py:1 in <module>
  |   from app.rates import orders
  | app/rates.py:2 in <module>
  |   import sklearn.linear_model
  | ModuleNotFoundError: No module named 'sklearn'

hint: Add `scikit-learn` to `broken-missing-module/requirements.txt`; then build again
""",
    "broken-missing-file": """\
error: location `broken-missing-file`: `data/rates.csv` is in the project, but not in the build: line 2 of\
 `.builderignore` leaves it out
  where: broken-missing-file/app/__init__.py:5
  | app/__init__.py:5 in <module>
  |   RATES = Path("data/rates.csv").read_text(encoding="utf-8")
  | FileNotFoundError: [Errno 2] No such file or directory: 'data/rates.csv'

hint: Remove that line, or write include = ["data/rates.csv"] under [tool.builder] in its `pyproject.toml`;\
 then build again
""",
    "broken-syntax-error": f"""\
error: location `broken-syntax-error`: its code is not valid Python {RUNNING}: invalid syntax
  where: broken-syntax-error/app/orders.py:5
  | app/__init__.py:1 in <module>
  |   from app.orders import defs
  | app/orders.py:5
  |     def orders( -> None: ...
  |                 ^^
  | SyntaxError: invalid syntax

hint: Correct the line; then build again
""",
    "broken-missing-variable": """\
error: location `broken-missing-variable`: its code needs the environment variable `WAREHOUSE_URL`,\
 which is not set
  where: broken-missing-variable/app/__init__.py:5
  | app/__init__.py:5 in <module>
  |   WAREHOUSE = os.environ["WAREHOUSE_URL"]
  | KeyError: 'WAREHOUSE_URL'

hint: For this check, give it with --env WAREHOUSE_URL=VALUE; for the server, set it in Dagster+ under\
 Deployment, Environment variables
""",
    "broken-ends-the-process": """\
error: location `broken-ends-the-process`: its code ended the process, with exit code 7, while it was loaded
  where: broken-ends-the-process/app/__init__.py:6
  | app/__init__.py:6 in <module>
  |   os._exit(7)

hint: Raise an error instead of ending the process: on the server, the code server would go down with it
""",
    "broken-two-definitions": """\
error: location `broken-two-definitions`: `app` has 2 Definitions objects (`finance`, `sales`), and nothing says\
 which to load
  where: dagster_cloud.yaml:41

hint: Make them one, such as `Definitions.merge(finance, sales)`, or name one in `dagster_cloud.yaml`:\
 attribute: finance
""",
    "broken-variable-of-dagster": """\
error: location `broken-variable-of-dagster`: its code needs the environment variable `WAREHOUSE_URL`,\
 which is not set
  where: broken-variable-of-dagster/app/__init__.py:3
  | app/__init__.py:3 in <module>
  |   HOST = settings.WAREHOUSE.partition("/")[0]
  | AttributeError: 'NoneType' object has no attribute 'partition'

hint: For this check, give it with --env WAREHOUSE_URL=VALUE; for the server, set it in Dagster+ under\
 Deployment, Environment variables
""",
    "broken-wrong-attribute": """\
error: location `broken-wrong-attribute`: `app` has no `definitions`
  where: dagster_cloud.yaml:52

hint: Write `attribute: defs` in `dagster_cloud.yaml`, or remove the line
""",
    "broken-wrong-working-directory": """\
error: location `broken-wrong-working-directory`: there is no module `app` in `source`, its working directory
  where: dagster_cloud.yaml:58

hint: It is in `src`: write `working_directory: src` in `dagster_cloud.yaml`
""",
    "broken-native-library": """\
error: location `broken-native-library`: its code needs the native library `libgdal.so.32`, which this machine\
 lacks
  where: broken-native-library/app/__init__.py:5
  | app/__init__.py:5 in <module>
  |   GDAL = ctypes.CDLL("libgdal.so.32")
  | OSError: libgdal.so.32: cannot open shared object file: No such file or directory

hint: Depend on `rasterio`, `fiona` or `pyogrio`, whose wheels have it in them; or run the location on a base\
 image that has Debian's `libgdal32`
""",
    "broken-never-ends": """\
error: location `broken-never-ends`: its code was still being loaded after 1 s, the time limit
  where: broken-never-ends/app/warehouse.py:7
  | app/__init__.py:5 in <module>
  |   connect()
  | app/warehouse.py:7 in connect
  |   time.sleep(3600)

hint: Move what takes so long out of the import, into an asset or a resource; or allow more with --timeout
""",
}

RICH = """
import os
import subprocess
import sys
from pathlib import Path

import dagster

assert Path("app/__init__.py").is_file()
assert os.environ["PLAIN"] == "plain"
assert os.environ["SOME_TOKEN"] == "meant"
assert [name for name in os.environ if name.startswith("DAGSTER_CLOUD_")] == ["DAGSTER_CLOUD_LOCATION_NAME"]

# What outlives the loading holds the pipe.
with open(os.environ["PIPE"], "wb", buffering=0) as pipe:
    pipe.write(b"x")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], pass_fds=[pipe.fileno()])


@dagster.asset
def orders() -> None: ...


@dagster.asset(deps=[orders])
def invoices() -> None: ...


@dagster.asset_check(asset=orders)
def complete() -> dagster.AssetCheckResult:
    return dagster.AssetCheckResult(passed=True)


@dagster.sensor(target=[orders])
def arrivals(): ...


daily = dagster.define_asset_job("daily", selection="*")
defs = dagster.Definitions(
    assets=[orders, invoices],
    asset_checks=[complete],
    jobs=[daily],
    schedules=[dagster.ScheduleDefinition(job=daily, cron_schedule="0 6 * * *")],
    sensors=[arrivals],
    resources={"warehouse": "duckdb"},
)
"""


@dataclass(frozen=True, slots=True)
class Office:
    """A directory in which workspaces are built and verified."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def build(self, locations: Mapping[str, Mapping[str, Any]]) -> None:
        """Build locations, each in the directory of its name."""
        entries = [
            {"location_name": name, "build": {"directory": name}, **each} for name, each in locations.items()
        ]
        text = yaml.safe_dump({"locations": entries}, sort_keys=False)
        (self.root / "dagster_cloud.yaml").write_text(text, encoding="utf-8")
        ran = self.run("deploy", "dagster_cloud.yaml", self.out, "--python-version", RUNNING)
        assert ran.code == 0, ran

    def verify(self, *options: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        return self.run("verify", self.out, *options, env=env)

    def run(self, command: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        return run_command(command, *arguments, directory=self.root, **(env or {}))


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def build_broken(office: Office) -> None:
    locations = {}
    for name in BROKEN:
        tree = {
            str(path.relative_to(PROJECTS)): path.read_text(encoding="utf-8")
            for path in (PROJECTS / name).rglob("*")
            if path.is_file() and path.name != "trait.txt" and path.suffix != ".pyc"
        }
        write_tree(office.root, tree)
        (locations[name],) = yaml.safe_load(tree[f"{name}/dagster_cloud.yaml"])["locations"]
    office.build(locations)


def test_every_broken_project_is_explained(office: Office) -> None:
    assert sorted(MESSAGES) == BROKEN
    build_broken(office)
    endless = "broken-never-ends"
    chosen = [option for name in BROKEN if name != endless for option in ("--location", name)]
    ran = office.verify(*chosen)
    said = {name: error for name, error in errors(ran.stderr).items() if name in MESSAGES}
    assert said == {name: text for name, text in MESSAGES.items() if name != endless}
    assert (ran.code, ran.stdout) == (1, "")
    assert "✓" not in ran.stderr

    ran = office.verify("--location", endless, "--timeout", "1")
    assert errors(ran.stderr) == {endless: MESSAGES[endless]}
    assert ran.code == 1


def errors(stderr: str) -> dict[str, str]:
    """The errors by location name; fails if there is a traceback of the builder itself."""
    assert "Traceback" not in stderr, stderr
    found = [f"error: {text}" for text in stderr.split("error: ")[1:] if text.startswith("location `")]
    return {text.split("`")[1]: text for text in found}


def test_what_loads_is_told_and_nothing_is_left_running(office: Office) -> None:
    write_tree(office.root / "sales", {"requirements.txt": "dagster\ndagster-cloud\n", "app/__init__.py": RICH})
    write_tree(office.root / "empty", {"requirements.txt": "dagster\ndagster-cloud\n", "app.py": "defs = None"})
    office.build(
        {"sales": {"code_source": {"package_name": "app"}}, "empty": {"code_source": {"module_name": "app"}}}
    )
    pipe = office.root / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    secrets = {"PLAIN": "plain", "SOME_TOKEN": "meant", "DAGSTER_CLOUD_API_TOKEN": "agent:acme:very-secret"}

    ran = office.verify("--location", "sales", "--env", "SOME_TOKEN", "--env", f"PIPE={pipe}", env=secrets)
    assert ran.code == 0, ran
    first, *lines = ran.stdout.splitlines()
    counts = "2 assets, 1 asset check, 1 job, 1 schedule, 1 sensor, 1 resource"
    assert first.startswith(f"✓ location `sales` loads: {counts} (dagster 1.")
    assert lines == [
        "  assets: invoices, orders",
        "  asset checks: orders:complete",
        "  jobs: daily",
        "  schedules: daily_schedule",
        "  sensors: arrivals",
        "  resources: warehouse",
    ]
    assert "✓ loaded 1 location  " in ran.stderr
    # Dagster itself uses this deprecated attribute.
    assert "environment_vars" not in ran.stderr
    # Dagster itself takes a beta for `selection="*"`.
    assert "beta" not in ran.stderr
    assert os.read(reader, 1) == b"x"
    assert select.select([reader], [], [], 10)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)

    without = office.verify("--location", "sales", "--env", f"PIPE={pipe}", env=secrets)
    what = "its code needs the environment variable `SOME_TOKEN`, which is withheld from it as a secret"
    assert what in without.failed()
    assert "hint: Pass it on to this check with --env SOME_TOKEN" in without.error

    report = json.loads((office.out / "build.json").read_text(encoding="utf-8"))
    source, deps = (next(iter(report["locations"]))[kind]["file"] for kind in ("source", "deps"))
    files = ["--source", office.out / source, "--deps", office.out / deps, "--workspace", "dagster_cloud.yaml"]
    assert "has 2 locations" in office.run("verify", *files).failed(2)
    ran = office.run("verify", *files, "--location", "empty", "--json")
    answer = json.loads(ran.stdout)
    # These are the files of `sales`, whose package has the same name.
    assert answer["empty"]["state"] == "failed"
    assert answer["empty"]["error"]["what"].endswith("`PLAIN`, which is not set")
