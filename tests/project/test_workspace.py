"""Which file of a directory makes it a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.workspace import read_workspace
from tests.support.workspaces import by_name, places, put


def test_a_directory_whose_build_yaml_lists_locations(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-build-yaml"))
    assert workspace.path == root / "build.yaml"
    assert list(by_name(workspace)) == ["example"]


def test_a_dagster_cloud_yaml_comes_before_dg_and_that_is_said(root: Path) -> None:
    workspace = read_workspace(put(root, "dg-beside-dagster-cloud-yaml"))
    assert list(by_name(workspace)) == ["from-yaml"]
    assert places(workspace.notices) == [("pyproject.toml", 6)]
    # Who names a file means it.
    assert list(by_name(read_workspace(root / "pyproject.toml"))) == ["root"]
    assert read_workspace(root / "dagster_cloud.yaml").notices == ()


def test_a_directory_that_declares_nothing_gets_the_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"neither a dagster_cloud\.yaml") as raised:
        read_workspace(tmp_path)
    assert "location_name: my-location" in str(raised.value.remedy)
