"""`--plan` says what a run would do, and does nothing of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import make_sdist, write_tree
from tests.support.deploying import OLD, Deploying, deploying
from tests.support.schemas import check_schema
from tests.support.wheels import make_wheel

PACKAGE = """[project]
name = "sales-lib"
version = "1.0"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deploying]:
    with deploying(tmp_path) as made:
        made.locations("sales")
        yield made


def written(here: Deploying) -> list[str]:
    """The operations that change something, and the uploads."""
    operations = {"deployLocations", "addOrUpdateLocationFromDocument", "createOrUpdateBranchDeployment"}
    return [name for name in here.cloud.operations() if name in operations] + [
        name for name, _ in here.cloud.uploads()
    ]


def row(text: str, start: str) -> str:
    """The one line of a table with this word in it."""
    (found,) = [line for line in (" ".join(each.split()) for each in text.splitlines()) if start in line]
    return found


def test_a_first_deploy_is_planned_and_nothing_is_done(here: Deploying) -> None:
    (here.place.root / "project sales" / ".env").write_text("PASSWORD=x")
    ran = here.deploy("--plan").succeeded()
    assert "deployment: `prod`" in ran.stdout
    assert "target: Python 3.11" in ran.stdout
    assert "2 distributions: built, 2 to fetch" in row(ran.stdout, "deps-")
    assert row(ran.stdout, "deps-").endswith(", sent")
    assert "2 files: built, and sent unless it is there" in row(ran.stdout, "source PEX")
    assert row(ran.stdout, "location added") == "location added"
    assert "left out, it looks like a secret: .env" in ran.stderr
    assert not here.place.artefacts()
    assert not written(here)
    assert not here.cloud.objects()


def test_what_is_there_already_is_planned_as_such(here: Deploying) -> None:
    here.deploy("--deps-cache-tag-write=main").succeeded()
    here.cloud.requests.clear()
    ran = here.deploy("--plan").succeeded()
    assert here.built()["deps"]["file"] in ran.stdout
    assert row(ran.stdout, "deps-").endswith("built again, as it was, not sent, it is there")
    assert row(ran.stdout, "location updated") == "location updated"
    assert "dependencies of `sales` since its last deploy: unchanged" in ran.stdout
    ran = here.deploy("--plan", "--deps-cache-tag-read=main").succeeded()
    assert row(ran.stdout, "deps-").endswith("cached: neither built nor sent")
    make_wheel(here.place.root / "shelf", {"six.py": ""}, name="six", version="1.17.0")
    requirements = here.place.root / "project sales" / "requirements.txt"
    requirements.write_text(requirements.read_text() + "six\n")
    ran = here.deploy("--plan").succeeded()
    assert re.search(r"\+ six 1\.17\.0 \(\d+ B\)", ran.stdout), ran.stdout
    assert not written(here)


def test_a_plan_needs_no_dagster_cloud(here: Deploying) -> None:
    workspace = here.place.root / "dagster_cloud.yaml"
    make_sdist(here.place.root / "shelf", {"setup.py": "import setuptools"}, name="old_style")
    requirements = here.place.root / "project sales" / "requirements.txt"
    requirements.write_text(requirements.read_text() + "old-style\n")
    write_tree(here.place.root / "project sales", {"pyproject.toml": PACKAGE, "sales_lib/__init__.py": ""})
    ran = here.place.run("deploy", workspace, here.place.out, "--plan").succeeded()
    assert "3 distributions: built, 3 to fetch" in row(ran.stdout, "deps-")
    assert row(ran.stdout, "deps-").endswith("from source: old-style 1.0")
    source = row(ran.stdout, "source PEX")
    assert source.endswith("4 files: built; local packages, built and installed: project sales")
    assert "deployment" not in ran.stdout
    # The code that boots a PEX file is most of a small one.
    (planned,) = re.findall(r"~(\d+\.\d) kB", source)
    (here.place.root / "project sales" / "pyproject.toml").unlink()
    (here.place.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\n")
    here.place.run("deploy", workspace, here.place.out).succeeded()
    assert abs(here.built()["source"]["size"] / 1000 - float(planned)) < 2
    assert not here.cloud.requests


def test_machines_are_told_all_of_it(here: Deploying) -> None:
    here.run_before("sales")
    (here.place.root / "project sales" / "pyproject.toml").write_text(PACKAGE)
    ran = here.deploy("--plan", "--json").succeeded()
    document = json.loads(ran.stdout)
    check_schema("plan", document)
    (plan,) = document["plans"]
    assert plan["deployment"] == {"name": "prod"}
    (location,) = plan["locations"]
    assert location["local_packages"] == [str(here.place.root / "project sales")]
    assert [step["what"].partition("-")[0] for step in location["steps"]] == ["deps", "source PEX", "location"]
    assert location["steps"][2]["does"] == "updated"
    (here.place.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\nno-such-thing\n")
    ran = here.deploy("--plan", "--json")
    assert ran.code == 1
    document = json.loads(ran.stdout)
    check_schema("plan", document)
    assert document["plans"][0]["locations"][0]["error"]["where"].endswith("requirements.txt:3")
    assert "--json needs --plan" in here.deploy("--json").stderr
    assert not written(here)


def test_what_would_fail_is_told(here: Deploying) -> None:
    here.run_before("sales")
    (here.place.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\nno-such-thing\n")
    assert "no-such-thing" in here.deploy("--plan").failed()
    assert "there is no deployment `prd`" in here.deploy("--plan", "--deployment=prd").failed()
    assert here.runs() == OLD
