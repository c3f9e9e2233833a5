"""Finding and reading the file that declares the code locations."""

from __future__ import annotations

import os.path
from dataclasses import replace
from pathlib import Path

from builder.errors import Notice, ProjectError
from builder.project.dagster_table import read_dagster_table
from builder.project.dagster_workspace import refuse_dagster_workspace
from builder.project.dg import find_dg_config, read_dg_workspace
from builder.project.location import Workspace
from builder.project.toml_file import TomlFile
from builder.project.workspace_file import EXAMPLE, read_workspace_file
from builder.project.yaml_file import YamlFile


def read_workspace(path: Path) -> Workspace:
    """Read the locations that a path declares.

    :param path: a dagster_cloud.yaml; or the pyproject.toml or dg.toml of a project or workspace of `dg`; or a
        directory, in which the first of these is used: dagster_cloud.yaml, a build.yaml with `locations`, dg.toml,
        a pyproject.toml with `[tool.dg]`, one with `[tool.dagster]`.

    Raises ProjectError, with file and line, for invalid content.
    """
    path = Path(os.path.normpath(path.absolute()))
    if path.is_dir():
        return _read_directory(path)
    if path.suffix != ".toml":
        refuse_dagster_workspace(path)
        return read_workspace_file(path)
    by_table = path.name == "pyproject.toml" and not TomlFile.load(path).table("tool", "dg")
    return (read_dagster_table(path) if by_table else None) or read_dg_workspace(path)


def _read_directory(directory: Path) -> Workspace:
    file = _workspace_file(directory)
    config = find_dg_config(directory)
    if file is not None:
        workspace = read_workspace_file(file)
        text = f"`{file.name}` beside it says what the locations are; what this file says of them is not read"
        return (
            workspace
            if config is None
            else replace(workspace, notices=(*workspace.notices, Notice(text, config, is_note=True)))
        )
    if config is not None:
        return read_dg_workspace(config.path)
    if (declared := read_dagster_table(directory / "pyproject.toml")) is not None:
        return declared
    refuse_dagster_workspace(directory / "workspace.yaml")
    misnamed = directory / "dagster_cloud.yml"
    make = f"make `{directory / 'dagster_cloud.yaml'}`. {EXAMPLE}"
    raise ProjectError(
        f"`{directory}` is a directory with neither a dagster_cloud.yaml nor a `[tool.dg]` or `[tool.dagster]`",
        remedy=f"Rename `{misnamed}` to `dagster_cloud.yaml`"
        if misnamed.is_file()
        else f"Give the path of your workspace file, or {make}",
    )


def _workspace_file(directory: Path) -> Path | None:
    """The file that lists the locations; a build.yaml without `locations` belongs to dg's layout."""
    path = directory / "dagster_cloud.yaml"
    if path.is_file():
        return path
    path = directory / "build.yaml"
    data = YamlFile.load(path).data if path.is_file() else None
    return path if isinstance(data, dict) and "locations" in data else None
