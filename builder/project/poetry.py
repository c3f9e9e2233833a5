"""`[tool.poetry]` tables, read by poetry-core: caret and tilde versions, markers, groups, paths, git."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from builder.errors import ProjectError
from builder.project.lines import line_of_name
from builder.project.metadata import Metadata
from builder.project.toml_file import TomlFile, table

if TYPE_CHECKING:
    from builder.project.poetry_package import PoetryPackage

_PRIMARY: Final = {"primary", "default"}


def uses_poetry(directory: Path) -> bool:
    """Whether the project in a directory uses poetry.

    It does with poetry's build backend, or with `[tool.poetry]` and neither a `[build-system]` nor a setup.py,
    which pip would use. A `[tool.poetry]` beside another backend is not in use.
    """
    pyproject = TomlFile.pyproject(directory)
    system = pyproject.data.get("build-system")
    if isinstance(system, dict):
        return str(system.get("build-backend", "")).startswith("poetry")
    return bool(pyproject.table("tool", "poetry")) and not (directory / "setup.py").is_file()


def read_poetry(directory: Path) -> Metadata:
    """The metadata of a poetry project; runs no code of it. Raises ProjectError with poetry-core's message."""
    package = _package(directory)
    return Metadata(
        name=package.name,
        requires=package.groups.get("main", ()),
        requires_python=package.requires_python,
        manifest=directory / "pyproject.toml",
        extras=package.extras,
    )


def read_poetry_groups(directory: Path) -> Mapping[str, tuple[str, ...]]:
    """The dependency groups of a poetry project, including optional ones, without the main one."""
    return {name: requires for name, requires in _package(directory).groups.items() if name != "main"}


class PoetryIndexes:
    """The indexes (`[[tool.poetry.source]]`) that dependencies of a project name as their only source."""

    def __init__(self, directory: Path) -> None:
        self._pyproject = TomlFile.pyproject(directory)
        self._poetry = self._pyproject.table("tool", "poetry")
        groups = [table(group, "dependencies") for group in table(self._poetry, "group").values()]
        self._wanted: dict[str, tuple[str, object]] = {}
        for dependencies in (table(self._poetry, "dependencies"), *groups):
            for declared, value in dependencies.items():
                entries = _tables(value if isinstance(value, list) else [value])
                if wanted := next((entry["source"] for entry in entries if entry.get("source")), None):
                    self._wanted.setdefault(canonicalize_name(declared), (declared, wanted))

    def of(self, name: str) -> Mapping[str, object] | None:
        """The entry that a dependency names; None if it names none. Raises ProjectError if it is not declared."""
        declared, wanted = self._wanted.get(canonicalize_name(name), (name, None))
        if wanted is None:
            return None
        for source in _sources(self._poetry):
            if source.get("name") == wanted:
                return {"name": wanted, "url": source.get("url")} if source.get("url") else None
        raise ProjectError(
            f"`{declared}` names the source `{wanted}`, which is not declared",
            where=line_of_name(declared, self._pyproject.path),
            remedy=f'Declare it: `[[tool.poetry.source]]` with `name = "{wanted}"` and its `url`',
        )


def poetry_index_options(directory: Path) -> list[str]:
    """The sources of a poetry project for all names, as index options of pip, in order of precedence.

    Primary sources replace the public index; supplemental ones come after them. Explicit ones serve only the
    dependencies that name them.
    """
    sources = _sources(TomlFile.pyproject(directory).table("tool", "poetry"))
    primary, others = (
        [str(source["url"]) for source in sources if "url" in source and _priority(source) in wanted]
        for wanted in (_PRIMARY, {"supplemental"})
    )
    public = any("url" not in source and _priority(source) in _PRIMARY for source in sources)
    if not primary or public:
        return [f"--extra-index-url {url}" for url in (*primary, *others)]
    *extra, last = (*primary, *others)
    return [*(f"--extra-index-url {url}" for url in extra), f"--index-url {last}"]


def _priority(source: Mapping[str, object]) -> str:
    return str(source.get("priority", "primary")).lower()


def _sources(poetry: Mapping[str, object]) -> list[Mapping[str, object]]:
    sources = poetry.get("source")
    return _tables(sources if isinstance(sources, list) else [])


def _tables(values: Iterable[object]) -> list[Mapping[str, object]]:
    return [value for value in values if isinstance(value, dict)]


def _package(directory: Path) -> PoetryPackage:
    # Its import takes 170 ms, and few projects use poetry.
    from builder.project.poetry_package import read_poetry_package  # noqa: PLC0415

    return read_poetry_package(directory)
