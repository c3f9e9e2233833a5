"""Finding the lock file of a project, of any tool, and reading its pinned versions."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from builder.errors import Origin, ProjectError
from builder.project.limited_text import read_limited
from builder.project.poetry import uses_poetry
from builder.project.setup_cfg import read_setup_cfg
from builder.project.sources import workspace_root
from builder.project.toml_file import TomlFile, table
from builder.terminal.formatting import quoted

_MOST_BYTES: Final = 20_000_000
"""Four times the size of the largest public uv.lock."""


@dataclass(frozen=True, slots=True)
class LockKind:
    """A kind of lock.

    :param manifest: the file that the lock is made from.
    :param lock: the command that updates the lock.
    :param add: the command that adds a distribution, without its name.
    :param pins: whether it is read as pinned requirements, which are then resolved.
    """

    manifest: str
    lock: str
    add: str
    pins: bool = False


KINDS: Final[Mapping[str, LockKind]] = {
    "uv.lock": LockKind("pyproject.toml", "uv lock", "uv add"),
    "poetry.lock": LockKind("pyproject.toml", "poetry lock", "poetry add", pins=True),
    "pdm.lock": LockKind("pyproject.toml", "pdm lock", "pdm add", pins=True),
    "pylock.toml": LockKind("what it is made from", "", ""),
    "Pipfile.lock": LockKind("Pipfile", "pipenv lock", "pipenv install", pins=True),
}


def find_lock(directory: Path) -> Path | None:
    """The lock of a project: its own, or that of its uv workspace.

    A Pipfile.lock counts only if no other file declares requirements.
    """
    pyproject = TomlFile.pyproject(directory)
    if pyproject.path.is_file():
        root = workspace_root(directory) or directory
        if (root / "uv.lock").is_file():
            return root / "uv.lock"
    present = {name: directory / name for name in KINDS if (directory / name).is_file()}
    if "poetry.lock" in present and uses_poetry(directory):
        return present["poetry.lock"]
    if "pdm.lock" in present and pyproject.table("project"):
        return present["pdm.lock"]
    if "pylock.toml" in present:
        return present["pylock.toml"]
    return present.get("Pipfile.lock") if declares_by_pipfile(directory) else None


def declares_by_pipfile(directory: Path) -> bool:
    """Whether no file other than a Pipfile could declare the project's requirements."""
    others = any((directory / name).is_file() for name in ("requirements.txt", "setup.py"))
    has_project = bool(TomlFile.pyproject(directory).table("project"))
    return not (others or has_project or uses_poetry(directory) or read_setup_cfg(directory))


def holds_all(lock: Path, names: Iterable[str]) -> bool:
    """Whether a lock has all of these names in quotes: a search is much faster than parsing a large lock."""
    text = read_lock_text(lock)
    return all(f'"{name}"' in text for name in names)


def locked_versions(lock: Path) -> dict[str, frozenset[str]]:
    """The versions of each distribution that a lock holds for any target, by normalised name.

    Raises ProjectError for a lock that cannot be read.
    """
    versions: dict[str, set[str]] = {}
    for entry in _entries(lock):
        name, version = entry.get("name"), entry.get("version")
        if isinstance(name, str):
            known = versions.setdefault(canonicalize_name(name), set())
            if isinstance(version, str):
                known.add(version.removeprefix("=="))
    return {name: frozenset(known) for name, known in versions.items()}


def pipfile_entries(lock: Path, groups: Iterable[str] = ()) -> dict[str, Mapping[str, Any]]:
    """The default packages of a Pipfile.lock by name, and those of the given categories of pipenv.

    Raises ProjectError for a category that it does not have.
    """
    # The Pipfile's `dev-packages` are called `develop` in the lock.
    document = {"dev-packages" if name == "develop" else name: value for name, value in load_lock(lock).items()}
    known = sorted(document.keys() - {"_meta", "default"})
    entries: dict[str, Mapping[str, Any]] = {}
    for group in ("default", *groups):
        if group not in ("default", *known):
            raise ProjectError(
                f"Pipfile.lock has no category `{group}`",
                where=Origin(lock),
                remedy=f"Choose from {quoted(known)}" if known else "Add it to the Pipfile and run `pipenv lock`",
            )
        for name, entry in table(document, group).items():
            if isinstance(entry, dict):
                entries.setdefault(name, entry)
    return entries


def pipfile_paths(lock: Path, groups: Iterable[str]) -> list[Path]:
    """The local packages and files that a Pipfile.lock names."""
    paths = (entry.get("path") or entry.get("file") for entry in pipfile_entries(lock, groups).values())
    return [lock.parent / path for path in paths if isinstance(path, str) and "://" not in path]


def read_lock_text(lock: Path) -> str:
    """The text of a lock; raises ProjectError for one that is unreadable or too large."""
    return read_limited(lock, _MOST_BYTES)


def load_lock(lock: Path) -> Mapping[str, Any]:
    """Parse a lock as TOML or, for Pipfile.lock, JSON; raises ProjectError if it is invalid."""
    text = read_lock_text(lock)
    try:
        document = json.loads(text) if lock.name == "Pipfile.lock" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(lock, error) from error
    if not isinstance(document, dict):
        raise _unreadable(lock, ValueError("it is not a table"))
    return document


def _entries(lock: Path) -> list[Mapping[str, object]]:
    """The entries of a lock, with their names."""
    if lock.name == "Pipfile.lock":
        return [{"name": name, **entry} for name, entry in pipfile_entries(lock).items()]
    document = load_lock(lock)
    packages = document.get("package", document.get("packages", []))
    return [package for package in packages if isinstance(package, dict)] if isinstance(packages, list) else []


def _unreadable(lock: Path, error: Exception) -> ProjectError:
    kind = KINDS[lock.name]
    remedy = (
        f"Run `{kind.lock}` and commit {lock.name}" if kind.lock else "Make it again with the tool that wrote it"
    )
    return ProjectError(f"{lock.name} cannot be read: {error}", where=Origin(lock), remedy=remedy)
