"""Dagster Cloud's real receiving server runs the files that the commands build."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from tests.support.cloud import CloudServer
from tests.support.commands import run_command, write_tree
from tests.support.programs import REPOSITORY
from tests.support.server import CodeServer, Location, ServerRefusedError
from tests.support.verified import verified


@dataclass(frozen=True, slots=True)
class Built:
    """A built workspace: its output directory, and the server's metadata of each location."""

    directory: Path
    pex_tags: dict[str, str]
    code_sources: dict[str, dict[str, str]]

    def load(self, server: CodeServer, name: str) -> Location:
        return server.create_location(name, pex_tag=self.pex_tags[name], code_source=self.code_sources[name])


class Build(Protocol):
    """Builds a workspace through the command line."""

    def __call__(self, workspace: Path, *options: str, **environment: str) -> Built: ...


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build a workspace through the command line."""

    def run(workspace: Path, *options: str, **environment: str) -> Built:
        out = tmp_path / "out"
        run_command("deploy", workspace, out, *options, directory=REPOSITORY, **environment).succeeded()
        locations: list[dict[str, Any]] = yaml.safe_load(workspace.read_text(encoding="utf-8"))["locations"]
        report = json.loads((out / "build.json").read_text(encoding="utf-8"))
        return Built(
            out,
            {location["name"]: location["pex_tag"] for location in report["locations"]},
            {location["location_name"]: location["code_source"] for location in locations},
        )

    return run


def test_quickstart_runs_on_the_server_that_downloads_what_was_uploaded(
    build: Build, server_storage: CloudServer, code_server: CodeServer
) -> None:
    built = build(
        REPOSITORY / "examples" / "quickstart" / "dagster_cloud.yaml",
        "--upload-pex",
        "--update-code-location",
        "--code-location-details=deployment=prod,commit_hash=abc1234",
        **server_storage.environ(),
    )
    assert (
        server_storage.locations("prod")["quickstart"]["pex_metadata"]["pex_tag"] == built.pex_tags["quickstart"]
    )
    location = built.load(code_server, "quickstart")
    assert location.assets == ("daily_revenue", "orders")
    assert location.jobs == ("refresh_shop",)
    assert location.schedules == ("every_morning",)
    assert verified(built.directory) == {"quickstart": location.definitions()}

    reported = location.materialize("orders", "daily_revenue")
    assert reported["orders"].items() >= {"rows": 11, "amount": 35340}.items()
    assert reported["daily_revenue"].items() >= {"days": 6, "best_day": "2026-03-04"}.items()


def test_two_locations_with_a_shared_package_run_on_the_server(build: Build, code_server: CodeServer) -> None:
    built = build(REPOSITORY / "examples" / "two-locations" / "dagster_cloud.yaml")
    code_server.add(built.directory)
    sales = built.load(code_server, "sales")
    assert sales.assets == ("best_customers", "invoices")
    assert sales.jobs == ("refresh_sales",)
    assert sales.schedules == ("sales_weekly",)

    stock = built.load(code_server, "stock")
    assert stock.assets == ("shelves", "well_stocked")
    assert stock.jobs == ("refresh_stock",)
    assert stock.schedules == ("stock_nightly",)
    assert verified(built.directory) == {"sales": sales.definitions(), "stock": stock.definitions()}

    # Both use the shared package.
    assert sales.materialize("invoices", "best_customers", in_process=True)["best_customers"]["best"] == "grace"
    assert stock.materialize("shelves", "well_stocked", in_process=True)["well_stocked"]["pieces"] == 120


REAPER = {
    "pyproject.toml": """[project]
name = "reaper"
version = "1.0"
[project.scripts]
reap = "reaper:main"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
""",
    "reaper/__init__.py": """import sys

def main():
    print(f"the harvest of {sys.argv[1]} failed")
""",
}
"""A package with a program, which is on the PATH of what the server runs."""


def test_the_server_tells_what_is_wrong(build: Build, code_server: CodeServer, tmp_path: Path) -> None:
    workspace = write_workspace(
        tmp_path / "workspace",
        {
            "failing": "import subprocess\n\nimport dagster as dg\n\n"
            "@dg.asset\ndef harvest() -> None:\n    raise RuntimeError(subprocess.getoutput('reap wheat'))\n\n"
            "defs = dg.Definitions(assets=[harvest])\n",
            "broken": "import no_such_module\n",
        },
    )
    write_tree(workspace.parent / "failing", REAPER)
    built = build(workspace)
    code_server.add(built.directory)
    failing = built.load(code_server, "failing")
    assert failing.assets == ("harvest",)
    with pytest.raises(ServerRefusedError) as refused:
        failing.materialize("harvest")
    # What it says is what a console script of the project printed.
    assert "RuntimeError: the harvest of wheat failed" in refused.value.error

    with pytest.raises(ServerRefusedError) as refused:
        built.load(code_server, "broken")
    assert "ModuleNotFoundError: No module named 'no_such_module'" in refused.value.error

    absent = "files=deps-absent.pex:source-absent.pex"
    with pytest.raises(ServerRefusedError) as refused:
        code_server.create_location("absent", pex_tag=absent, code_source={"module_name": "absent"})
    assert "when calling the HeadObject operation" in refused.value.error


HIDING = {
    "dagster/__init__.py": "the installed module `dagster`",
    "logging/__init__.py": "Python's own module `logging`",
    "platform.py": "Python's own module `platform`",
    "queue.py": "Python's own module `queue`",
    "types.py": "Python's own module `types`",
}


def test_what_hides_a_module_is_named_and_does_not_load_on_the_server_either(
    build: Build, code_server: CodeServer, tmp_path: Path
) -> None:
    names = {file.partition("/")[0].removesuffix(".py"): file for file in HIDING}
    code = "import dagster as dg\n\ndefs = dg.Definitions()\n"
    workspace = write_workspace(tmp_path / "workspace", dict.fromkeys(names, code))
    for name, file in names.items():
        write_tree(workspace.parent / name, {file: "SETTING = 1\n"})
    built = build(workspace)
    ran = run_command("verify", built.directory, "--json", directory=workspace.parent)
    answer = json.loads(ran.stdout)
    assert sorted(answer) == sorted(names)
    for name, file in names.items():
        shown = file.removesuffix("__init__.py")
        error = answer[name]["error"]
        assert error["what"] == f"the project's `{shown}` hides {HIDING[file]} from everything that imports it"
        assert error["where"] == str(workspace.parent / name / file)
        assert error["remedy"].startswith(f"Give `{shown}` another name")

    code_server.add(built.directory)

    def refused(name: str) -> bool:
        with pytest.raises(ServerRefusedError):
            built.load(code_server, name)
        return True

    with ThreadPoolExecutor() as pool:
        # The server waits long for a code server that cannot start.
        assert all(pool.map(refused, ("dagster", "types")))


def write_workspace(directory: Path, definitions: dict[str, str]) -> Path:
    """Write a workspace whose locations have only a requirements file and one Python file."""
    for name, code in definitions.items():
        project = directory / name
        project.mkdir(parents=True)
        (project / "requirements.txt").write_text("dagster\ndagster-cloud\n", encoding="utf-8")
        (project / "definitions.py").write_text(code, encoding="utf-8")
    locations = [
        {
            "location_name": name,
            "code_source": {"python_file": "definitions.py"},
            "build": {"directory": name},
        }
        for name in definitions
    ]
    path = directory / "dagster_cloud.yaml"
    path.write_text(yaml.safe_dump({"locations": locations}), encoding="utf-8")
    return path
