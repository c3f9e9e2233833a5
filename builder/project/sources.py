"""`[tool.uv.sources]`: requirements that come from somewhere else than the configured indexes."""

from __future__ import annotations

import glob
import os.path
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.errors import ProjectError
from builder.project.lines import line_of_name
from builder.project.patterns import check_count
from builder.project.poetry import PoetryIndexes, uses_poetry
from builder.project.toml_file import TomlFile

_GIT_REFERENCES: Final = ("rev", "tag", "branch")


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A requirement that is a local directory or file, and never requested from an index.

    :param package: whether it is installed itself, and not only its requirements.
    """

    path: Path
    package: bool


@dataclass(frozen=True, slots=True)
class IndexSource:
    """A requirement that comes from this index only.

    :param table: its entry of `[[tool.uv.index]]`; the URL may have credentials, never show it.
    """

    table: Mapping[str, object] = field(repr=False)


Source = LocalSource | IndexSource | str


class Sources:
    """`[tool.uv.sources]`, or poetry's sources, of the project in a directory."""

    def __init__(self, directory: Path) -> None:
        self._poetry = PoetryIndexes(directory) if uses_poetry(directory) else None
        self._root = workspace_root(directory) or directory
        # The project's own sources take precedence over those of its workspace root.
        self._declared = {
            canonicalize_name(name): (value, base)
            for base in (self._root, directory)
            for name, value in _uv_table(base, "sources").items()
        }

    def of(
        self,
        requirement: Requirement,
        markers: Mapping[str, str],
        extras: Iterable[str] = (),
        groups: Iterable[str] = (),
    ) -> Source | None:
        """The source of a requirement, with these extras and groups of the project installed.

        A local path, an index, a PEP 508 direct reference to use instead, or None for the configured indexes.
        Raises ProjectError for a source that does not exist, or that the builder does not support.
        """
        if self._poetry:
            index = self._poetry.of(requirement.name)
            return IndexSource(index) if index else None
        value, base = self._declared.get(canonicalize_name(requirement.name), (None, self._root))
        candidates = [source for source in _tables(value) if _holds(source, markers)]
        source = next((source for source in candidates if _is_asked_for(source, extras, groups)), None)
        if source is None and candidates and not _uv_table(self._root).get("conflicts"):
            # Without conflicts uv locks one version for all extras and groups, including those not installed.
            source = next(iter(candidates), None)
        return _resolve(requirement, source, base, self._root) if source else None


def workspace_root(directory: Path) -> Path | None:
    """The root of the uv workspace that a project is a member of; None without a workspace."""
    for candidate in (directory, *directory.parents):
        if _uv_table(candidate, "workspace") and (
            candidate == directory or directory in _member_directories(candidate)
        ):
            return candidate
        if (candidate / ".git").exists():
            break
    return None


def _member_directories(root: Path) -> set[Path]:
    members = {path for path in _matching(root, "members") if (path / "pyproject.toml").is_file()}
    return {root} | members.difference(_matching(root, "exclude"))


def _matching(root: Path, key: str) -> Iterator[Path]:
    """Directories that match patterns of `[tool.uv.workspace]`; raises ProjectError for an unbounded one."""
    patterns = _texts(_uv_table(root, "workspace").get(key))
    where = TomlFile.pyproject(root).origin("tool", "uv", "workspace", key)
    check_count(patterns, f"`tool.uv.workspace.{key}`", where)
    for pattern in patterns:
        parts = pattern.split("/")
        if glob.has_magic(pattern) and (pattern.startswith("/") or ".." in parts or parts.count("**") > 1):
            raise ProjectError(
                f"`{pattern}` in `tool.uv.workspace.{key}` may match without bounds",
                where=where,
                remedy="Write a pattern relative to the workspace, without `..`, and with `**` once at most",
            )
        # Unlike `Path.glob`, it accepts any text.
        paths = glob.iglob(pattern, root_dir=root, recursive=True, include_hidden=True)  # noqa: PTH207
        yield from (Path(os.path.normpath(root / path)) for path in paths)


def _tables(value: object) -> list[Mapping[str, object]]:
    """The sources of a requirement: one, or a list with conditions."""
    return [source for source in (value if isinstance(value, list) else [value]) if isinstance(source, dict)]


def _holds(source: Mapping[str, object], markers: Mapping[str, str]) -> bool:
    """Whether the marker of a source, if it has one, holds for the target."""
    marker = source.get("marker")
    return not isinstance(marker, str) or Marker(marker).evaluate(dict(markers))


def _is_asked_for(source: Mapping[str, object], extras: Iterable[str], groups: Iterable[str]) -> bool:
    """Whether a source applies to these extras and groups, or has no such condition."""
    for key, asked in (("extra", extras), ("group", groups)):
        name = source.get(key)
        if isinstance(name, str) and canonicalize_name(name) not in map(canonicalize_name, asked):
            return False
    return True


def _resolve(requirement: Requirement, source: Mapping[str, object], base: Path, root: Path) -> Source:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    match source:
        case {"path": str(path)}:
            return _local((base / path).resolve(), source)
        case {"workspace": True}:
            return _local(_member(requirement.name, root, base), source)
        case {"url": str(url)}:
            return f"{requirement.name}{extras} @ {url}"
        case {"git": str(url)}:
            reference = next((f"@{source[key]}" for key in _GIT_REFERENCES if source.get(key)), "")
            inside = f"#subdirectory={source['subdirectory']}" if source.get("subdirectory") else ""
            return f"{requirement.name}{extras} @ git+{url}{reference}{inside}"
        case {"index": str(name)}:
            return IndexSource(_index(name, requirement, base, root))
    where = line_of_name(requirement.name, base / "pyproject.toml")
    raise ProjectError(
        f"the source of `{requirement.name}` in `[tool.uv.sources]` is of an unsupported kind",
        where=where,
        remedy="Run `uv lock` and commit uv.lock: a lock may have any source",
    )


def _local(path: Path, source: Mapping[str, object]) -> LocalSource:
    """As in uv: an editable source is a package; else `package` of the source decides, then the directory."""
    own = _uv_table(path).get("package", True) if path.is_dir() else True
    return LocalSource(path, package=source.get("editable") is True or source.get("package", own) is not False)


def _index(name: str, requirement: Requirement, base: Path, root: Path) -> Mapping[str, object]:
    """The index that a project or its workspace declares under this name, with an absolute URL."""
    for directory in dict.fromkeys([base, root]):
        tables = _uv_table(directory).get("index")
        for table in tables if isinstance(tables, list) else []:
            if isinstance(table, dict) and table.get("name") == name and isinstance(table.get("url"), str):
                url = str(table["url"])
                return {**table, "url": url if "://" in url else (directory / url).resolve().as_uri()}
    raise ProjectError(
        f"`{requirement.name}` names the index `{name}`, which no `[[tool.uv.index]]` declares",
        where=line_of_name(requirement.name, base / "pyproject.toml"),
        remedy=f'Add `[[tool.uv.index]]` with `name = "{name}"` and its `url`',
    )


def _member(name: str, root: Path, base: Path) -> Path:
    """The directory of a workspace member, by the name that it declares, not by its directory's name."""
    for directory in sorted(_member_directories(root)):
        declared = TomlFile.pyproject(directory).table("project").get("name")
        if isinstance(declared, str) and canonicalize_name(declared) == canonicalize_name(name):
            return directory
    raise ProjectError(
        f"`{name}` is declared as a member of the uv workspace in `{root}`, which has no such member",
        where=line_of_name(name, base / "pyproject.toml"),
        remedy="Add its directory to `[tool.uv.workspace] members`, or correct `[tool.uv.sources]`",
    )


def _uv_table(directory: Path, *keys: str) -> Mapping[str, object]:
    return TomlFile.pyproject(directory).table("tool", "uv", *keys)


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
