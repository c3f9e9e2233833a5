"""The workspace: which file declares the code locations, and reading it."""

from __future__ import annotations

import os.path
from dataclasses import replace
from pathlib import Path

from builder.errors import Notice, ProjectError
from builder.project.dg import find_dg_config, read_dg_workspace
from builder.project.location import Workspace
from builder.project.workspace_file import read_workspace_file
from builder.project.yaml_file import YamlFile


def read_workspace(path: Path) -> Workspace:
    """Read the locations that a path declares.

    :param path: a dagster_cloud.yaml; or the pyproject.toml or dg.toml of a project or workspace of `dg`; or a
        directory. There the first of these holds: its dagster_cloud.yaml, its build.yaml if that has `locations`,
        its dg.toml, its pyproject.toml with a `[tool.dg]`.

    Raises ProjectError, with file and line, for anything that cannot be right.
    """
    path = Path(os.path.normpath(path.absolute()))
    if path.is_dir():
        return _read_directory(path)
    return read_dg_workspace(path) if path.suffix == ".toml" else read_workspace_file(path)


def _read_directory(directory: Path) -> Workspace:
    file = _workspace_file(directory)
    config = find_dg_config(directory)
    if file is not None:
        workspace = read_workspace_file(file)
        text = f"`{file.name}` beside it says what the locations are; what this file says of them is not read"
        return (
            workspace if config is None else replace(workspace, notices=(*workspace.notices, Notice(text, config)))
        )
    if config is not None:
        return read_dg_workspace(config.path)
    raise ProjectError(
        f"`{directory}` is a directory that has neither a dagster_cloud.yaml nor a `[tool.dg]`",
        remedy=f"Give the path of your workspace file, such as `{directory / 'dagster_cloud.yaml'}`",
    )


def _workspace_file(directory: Path) -> Path | None:
    """The file that lists the locations; a build.yaml without `locations` is a part of dg's layout."""
    path = directory / "dagster_cloud.yaml"
    if path.is_file():
        return path
    path = directory / "build.yaml"
    data = YamlFile.load(path).data if path.is_file() else None
    return path if isinstance(data, dict) and "locations" in data else None
