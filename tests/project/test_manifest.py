"""The manifest of a location: in its build directory or in the nearest directory above, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.project.workspace import read_workspace
from tests.support.requirements import write
from tests.support.workspaces import put, trees


def test_the_nearest_manifest_above_a_build_directory_is_found_and_named(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-manifest-above") / "dagster_cloud.yaml")
    assert trees(root, workspace) == {"sales": ("sales/src", "sales"), "stock": ("stock/code/python", "stock")}
    sales, stock = workspace.locations
    assert [str(notice.where) for notice in (*sales.notices, *stock.notices)] == [
        str(root / "sales/pyproject.toml"),
        str(root / "stock/requirements.txt"),
    ]
    assert f"`{root / 'sales/src'}` declares none" in sales.notices[0].text


@pytest.mark.parametrize(
    "name, text, found",
    [
        ("pyproject.toml", "[project]\nname = 'x'\n", True),
        ("pyproject.toml", "[build-system]\nrequires = []\n", True),
        ("pyproject.toml", "[tool.poetry]\nname = 'x'\n", True),
        ("pyproject.toml", "[dependency-groups]\ndev = []\n", True),
        ("pyproject.toml", "[project\n", True),
        ("pyproject.toml", "[tool.builder]\n[tool.ruff]\n[tool.dg]\n", False),
        ("setup.py", "", True),
        ("setup.cfg", "[metadata]\nname = x\n", True),
        ("setup.cfg", "[options]\n", True),
        ("setup.cfg", "[flake8]\n", False),
        ("setup.cfg", "no section\n", True),
        ("requirements.txt", "", True),
        ("pylock.toml", "", True),
        ("uv.lock", "", True),
        ("poetry.lock", "", True),
        ("requirements.in", "", False),
    ],
)
def test_what_is_a_manifest(root: Path, name: str, text: str, found: bool) -> None:  # noqa: FBT001
    write(root / "requirements.txt", "dagster\n")
    write(root / "x" / name, text)
    workspace = write(
        root / "w.yaml", "locations: [{location_name: a, code_source: {package_name: a}, build: {directory: x}}]"
    )
    (location,) = read_workspace(workspace).locations
    assert location.tree == (root / "x", root / "x" if found else root)
    assert bool(location.notices) is not found


def test_no_manifest_above_the_workspace_file_is_taken(root: Path) -> None:
    workspace = write(
        root / "w.yaml", "locations: [{location_name: a, code_source: {package_name: a}, build: {directory: x}}]"
    )
    (root / "x").mkdir()
    (location,) = read_workspace(workspace).locations
    assert location.tree == (root / "x", root / "x")
    assert location.notices == ()


def test_outside_the_workspace_a_manifest_is_looked_for_up_to_the_root_of_the_repository(root: Path) -> None:
    repository = put(root, "workspace-directory-outside") / "repository"
    file = repository / "deploy/cloud/dagster_cloud.yaml"
    # Not in a repository: the build directory alone.
    assert trees(root, read_workspace(file)) == {
        "all": ("repository", "repository"),
        "source": ("repository/src", "repository/src"),
    }
    (repository / ".git").mkdir()
    assert trees(root, read_workspace(file))["source"] == ("repository/src", "repository/src")
    write(repository / "requirements.txt", "dagster\n")
    assert trees(root, read_workspace(file))["source"] == ("repository/src", "repository")
