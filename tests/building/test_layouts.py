"""`builder.deploy` on workspaces and layouts of every kind, one small tree of `tests/projects` each."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Workshop
from tests.support.projects import PROJECTS
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
ROOT = "working_directory/root/"


def put(place: Workshop, trait: str) -> Path:
    directory = place.root / trait
    shutil.copytree(PROJECTS / trait, directory)
    return directory


def built(place: Workshop) -> dict[str, dict[str, Any]]:
    """The locations of build.json by name."""
    document = json.loads((place.out / "build.json").read_text(encoding="utf-8"))
    return {location["name"]: location for location in document["locations"]}


def packed(place: Workshop, location: dict[str, Any]) -> set[str]:
    """The names in a location's source PEX."""
    with zipfile.ZipFile(place.out / location["source"]["file"]) as pex:
        return set(pex.namelist())


def test_the_package_of_a_manifest_above_is_installed_and_the_files_stay_those_of_the_build_directory(
    place: Workshop,
) -> None:
    root = put(place, "workspace-manifest-above")
    ran = place.run("deploy", root / "dagster_cloud.yaml", place.out, "--python-version", RUNNING).succeeded()
    locations = built(place)
    sales, stock = (packed(place, locations[name]) for name in ("sales", "stock"))
    assert {"sales/definitions.py", "sales-1.0.dist-info/METADATA", f"{ROOT}sales/definitions.py"} <= sales
    assert {name for name in stock if name.startswith(ROOT) and not name.endswith("/")} == {
        f"{ROOT}definitions.py",
        f"{ROOT}pyproject.toml",
    }
    assert not {f"{ROOT}pyproject.toml", f"{ROOT}backend.py"} & sales
    assert locations["sales"]["deps"]["file"] == locations["stock"]["deps"]["file"]
    assert (locations["sales"]["directory"], locations["sales"]["project"]) == (
        str(root / "sales/src"),
        str(root / "sales"),
    )
    for name, manifest in (("sales", "sales/pyproject.toml"), ("stock", "stock/requirements.txt")):
        assert f"\n{root.name}/{manifest}: location `{name}` takes its requirements from here" in f"\n{ran.stderr}"


def test_settings_above_a_build_directory_hold_for_its_files(place: Workshop) -> None:
    root = put(place, "workspace-manifest-above")
    manifest = root / "sales/pyproject.toml"
    manifest.write_text(manifest.read_text() + '\n[tool.builder]\ninclude = ["ca.pem"]\n')
    (root / "sales/src/ca.pem").write_text("not really")
    workspace = root / "dagster_cloud.yaml"
    arguments = ["--location", "sales", "--python-version", RUNNING]
    place.run("deploy", workspace, place.out, *arguments).succeeded()
    assert f"{ROOT}ca.pem" in packed(place, built(place)["sales"])


def test_a_location_with_a_registry_is_skipped_and_built_when_asked_for(place: Workshop) -> None:
    root = put(place, "workspace-docker-locations")
    ran = place.run("deploy", root, place.out, "--format", "pex").succeeded()
    assert list(built(place)) == ["pex"]
    assert "skipped location `Docker Image`" in ran.stderr
    assert "--location 'Docker Image'" in ran.stderr
    ran = place.run("deploy", root, place.out, "--format", "pex", "--location", "Docker Image").succeeded()
    assert list(built(place)) == ["Docker Image"]
    assert "skipped" not in ran.stderr


def test_nothing_left_to_build_is_an_error(place: Workshop) -> None:
    error = place.run("deploy", put(place, "dg-workspace"), place.out, "--format", "pex").failed()
    assert "nothing is left to build" in error
    assert "--location 'data-eng'" in error
    assert place.artefacts() == []


def test_conflicting_pins_get_their_own_deps(place: Workshop) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version=version)
    place.run("deploy", put(place, "workspace-conflicting-pins"), place.out).succeeded()
    locks = {name: (place.out / location["lock"]).read_text() for name, location in built(place).items()}
    assert "tool-1.0-" in locks["old"]
    assert "tool-2.0-" in locks["new"]


def test_a_project_of_dg_is_built_from_its_directory_or_its_file(place: Workshop) -> None:
    root = put(place, "dg-project")
    place.run("deploy", root, place.out).succeeded()
    location = built(place)["Acme Reports"]
    assert f"{ROOT}acme_reports/definitions.py" in packed(place, location)
    place.run("deploy", "pyproject.toml", place.out, cwd=root).succeeded()
    assert built(place)["Acme Reports"]["pex_tag"] == location["pex_tag"]


def test_a_location_of_a_dg_workspace(place: Workshop) -> None:
    root = put(place, "dg-workspace")
    place.run("deploy", root, place.out, "--format", "pex", "--location", "Machine Learning").succeeded()
    assert {f"{ROOT}ml/src/ml/definitions.py", f"{ROOT}data-eng/pyproject.toml"} <= packed(
        place, built(place)["Machine Learning"]
    )


def test_two_declarations_of_the_locations_are_mentioned(place: Workshop) -> None:
    root = put(place, "dg-beside-dagster-cloud-yaml")
    ran = place.run("deploy", root, place.out).succeeded()
    assert f"{root.name}/pyproject.toml:6: `dagster_cloud.yaml` beside it says" in ran.stderr
    assert list(built(place)) == ["from-yaml"]


@pytest.mark.parametrize("command", ["deploy", "source"])
def test_scripts_that_cannot_act_are_named(place: Workshop, command: str) -> None:
    root = put(place, "lifecycle-scripts")
    ran = place.run(command, root, place.out).succeeded()
    for name in ("dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh"):
        assert ran.stderr.count(f"warning: {root.name}/{name}: this script is not run") == 1
    assert (f"{root.name}/dagster_cloud.yaml:6: `build.pre_build`" in ran.stderr) is (command == "deploy")
