"""The metadata that a project directory declares, from whichever of its files is in use."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from packaging.dependency_groups import DependencyGroupResolver
from packaging.utils import canonicalize_name

from builder.errors import ProjectError
from builder.project.metadata import (
    Metadata,
    MetadataBuilder,
    is_package,
    requirement_texts,
    static_metadata,
)
from builder.project.poetry import read_poetry, read_poetry_groups, uses_poetry
from builder.project.setup_cfg import read_setup_cfg
from builder.project.toml_file import TomlFile
from builder.terminal.formatting import quoted


def read_metadata(directory: Path, build: MetadataBuilder) -> Metadata | None:
    """The metadata of the package or dependency list in a directory; None where nothing is declared.

    In this order: `[tool.poetry]`, if the project uses poetry; a static `[project]`, unless the backend may change
    it; a static setup.cfg without a setup.py; otherwise the build backend is run.
    """
    if uses_poetry(directory):
        return read_poetry(directory)
    pyproject = TomlFile.pyproject(directory)
    has_project = bool(pyproject.table("project"))
    asking = is_package(directory) and _left_to_the_backend(pyproject)
    static = static_metadata(pyproject) if has_project and not asking else None
    if static is None and not has_project and not (directory / "setup.py").is_file():
        static = read_setup_cfg(directory)
    if static is None and is_package(directory):
        return build(directory)
    return static


def _left_to_the_backend(pyproject: TomlFile) -> bool:
    """Whether a backend may change a static `[project]`, although PEP 621 does not allow it."""
    system = pyproject.table("build-system")
    backend = str(system.get("build-backend", ""))
    if system.get("backend-path"):
        return True
    if backend.startswith("hatchling"):
        # hatchling expands variables in direct references: `{root:uri}`, `{root:parent:uri}`, `{env:NAME}`.
        project = pyproject.table("project")
        lists = [project.get("dependencies"), *pyproject.table("project", "optional-dependencies").values()]
        return any("{" in str(text) for texts in lists if isinstance(texts, list) for text in texts)
    if backend.startswith("pdm"):
        # A build hook may change any metadata.
        hook = pyproject.table("tool", "pdm", "build").get("custom-hook", "pdm_build.py")
        return (pyproject.path.parent / str(hook)).is_file()
    return False


def read_groups(directory: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The requirements of dependency groups: of PEP 735, or of the older tables of poetry, pdm and uv.

    Raises ProjectError for an unknown group.
    """
    wanted = tuple(names)
    if not wanted:
        return ()
    pyproject = TomlFile.pyproject(directory)
    declared = pyproject.table("dependency-groups")
    poetry = read_poetry_groups(directory) if uses_poetry(directory) else {}
    _check_size(declared, pyproject)
    older = _older_groups(pyproject)
    lines: list[str] = []
    for name in wanted:
        if name in poetry:
            lines += poetry[name]
            continue
        if name in older:
            lines += requirement_texts(older[name], name, pyproject)
            if name not in declared:
                continue
        try:
            resolver = DependencyGroupResolver(declared)  # type: ignore[arg-type]  # it checks what it is given
            lines += [str(requirement) for requirement in resolver.resolve(name)]
        except (LookupError, ValueError, TypeError, ExceptionGroup) as error:
            known = quoted(sorted({*declared, *poetry, *older}))
            missing = canonicalize_name(name) not in map(canonicalize_name, declared)
            what = (
                f"there is no dependency group `{name}`" if missing else f"the dependency group `{name}`: {error}"
            )
            remedy = f"Choose from {known}" if known else "Declare it under `[dependency-groups]`"
            raise ProjectError(what, where=pyproject.origin("dependency-groups"), remedy=remedy) from error
    return tuple(lines)


_MOST_REQUIREMENTS: Final = 10_000


def _check_size(groups: Mapping[str, object], pyproject: TomlFile) -> None:
    """Refuse groups whose includes multiply to a huge number of requirements."""
    sizes: dict[str, int] = {}

    def size(name: str) -> int:
        if name not in sizes:
            # A group that includes itself is refused later.
            sizes[name] = 0
            entries = groups.get(name)
            for entry in entries if isinstance(entries, list) else []:
                sizes[name] += size(str(entry.get("include-group"))) if isinstance(entry, dict) else 1
        return sizes[name]

    for name in groups:
        with contextlib.suppress(RecursionError):
            if size(name) <= _MOST_REQUIREMENTS:
                continue
        raise ProjectError(
            f"the dependency group `{name}` has more than {_MOST_REQUIREMENTS} requirements, or too many levels",
            where=pyproject.origin("dependency-groups", name),
            remedy="Include each group once",
        )


_EDITABLE: Final = re.compile(r"-e\s+(?P<url>\S+)#egg=(?P<name>[\w.-]+)")


def _older_groups(pyproject: TomlFile) -> Mapping[str, object]:
    """The groups of pdm, which may have `-e URL#egg=NAME`, and uv's group `dev`, as declared before PEP 735."""
    groups = {**pyproject.table("tool", "pdm", "dev-dependencies")}
    if "dev-dependencies" in (uv := pyproject.table("tool", "uv")):
        groups["dev"] = uv["dev-dependencies"]
    return {
        name: [_EDITABLE.sub(r"\g<name> @ \g<url>", str(text)) for text in texts]
        if isinstance(texts, list)
        else texts
        for name, texts in groups.items()
    }
