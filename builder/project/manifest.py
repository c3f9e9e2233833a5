"""Finding the directory whose manifest (pyproject.toml, setup.py, …) a build directory belongs to."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ProjectError
from builder.project.location import SourceTree
from builder.project.locks import KINDS
from builder.project.setup_cfg import parse_setup_cfg
from builder.project.toml_file import TomlFile

_FILES: Final = ("setup.py", "requirements.txt", "Pipfile", *KINDS)
_TABLES: Final = ("project", "build-system", "dependency-groups")


def find_manifest(directory: Path) -> Path | None:
    """The file by which a directory declares a package or requirements; None if it declares nothing.

    A pyproject.toml or setup.cfg that only configures tools is no manifest.
    """
    if _declares_in_pyproject(directory):
        return directory / "pyproject.toml"
    if _declares_in_setup_cfg(directory / "setup.cfg"):
        return directory / "setup.cfg"
    return next((directory / name for name in _FILES if (directory / name).is_file()), None)


def source_tree(name: str, directory: Path, workspace: Path) -> tuple[SourceTree, tuple[Notice, ...]]:
    """The tree of a location, with its project: the build directory, or the nearest parent with a manifest.

    The search ends at the directory of the workspace file or, for a build directory outside it, at the root of the
    git repository. Without a manifest, the build directory is the project.

    :param name: of the location.
    :param directory: the build directory, absolute.
    :param workspace: the directory of the workspace file, absolute.
    """
    for candidate in _from(directory, workspace):
        manifest = find_manifest(candidate)
        if manifest is None:
            continue
        text = f"location `{name}` takes its requirements from here: `{directory}` declares none"
        notices = () if candidate == directory else (Notice(text, Origin(manifest), is_note=True),)
        return SourceTree(directory, candidate), notices
    return SourceTree(directory, directory), ()


def _from(directory: Path, workspace: Path) -> tuple[Path, ...]:
    """The directory and those above it in which a manifest is searched."""
    ways = (directory, *directory.parents)
    if workspace in ways:
        last = workspace
    else:
        last = next((path for path in ways if os.path.lexists(path / ".git")), directory)
    return ways[: ways.index(last) + 1]


def _declares_in_pyproject(directory: Path) -> bool:
    try:
        pyproject = TomlFile.pyproject(directory)
    except ProjectError:
        # Its reader reports what is wrong with it; searching further up would hide that.
        return True
    return any(key in pyproject.data for key in _TABLES) or "poetry" in pyproject.table("tool")


def _declares_in_setup_cfg(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        parser = parse_setup_cfg(path)
    except ProjectError:
        # As above.
        return True
    return parser.has_option("metadata", "name") or parser.has_section("options")
