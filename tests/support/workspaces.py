"""Workspaces of `tests/projects`, and short ways of asking what was read of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.errors import BuilderError, Notice, ProjectError
from builder.project.location import Location, Workspace
from builder.project.workspace import read_workspace
from tests.support.projects import PROJECTS


def put(root: Path, trait: str) -> Path:
    shutil.copytree(PROJECTS / trait, root)
    return root


def by_name(workspace: Workspace) -> dict[str, Location]:
    return {location.name: location for location in workspace.locations}


def trees(root: Path, workspace: Workspace) -> dict[str, tuple[str, str]]:
    """Build directory and project of each location, relative to the root."""
    return {
        location.name: (
            str(location.tree.directory.relative_to(root)),
            str(location.tree.project.relative_to(root)),
        )
        for location in workspace.locations
    }


def places(notices: tuple[Notice, ...]) -> list[tuple[str, int | None]]:
    return [(notice.where.path.name, notice.where.line) for notice in notices if notice.where]


def refused(path: Path) -> BuilderError:
    with pytest.raises(ProjectError) as caught:
        read_workspace(path).select(())
    return caught.value
