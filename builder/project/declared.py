"""The metadata that a project directory declares, from whichever of its files is in use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from packaging.dependency_groups import DependencyGroupResolver
from packaging.utils import canonicalize_name

from builder.errors import ProjectError
from builder.project.metadata import (
    Metadata,
    MetadataBuilder,
    is_package,
    static_metadata,
)
from builder.project.poetry import read_poetry, read_poetry_groups, uses_poetry
from builder.project.setup_cfg import read_setup_cfg
from builder.project.toml_file import TomlFile
from builder.terminal.formatting import quoted


def read_metadata(directory: Path, build: MetadataBuilder) -> Metadata | None:
    """The metadata of the package or dependency list in a directory; None where nothing is declared.

    In this order: poetry's, where poetry is the project's tool; `[project]` without dynamic dependencies, as it
    stands, unless the backend may change it; setup.cfg without a setup.py, as it stands; what the backend says.
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
    """Whether a backend may make something else of a static `[project]`, whatever PEP 621 says of it."""
    system = pyproject.table("build-system")
    backend = str(system.get("build-backend", ""))
    if system.get("backend-path"):
        return True
    if backend.startswith("hatchling"):
        # It formats direct references: `{root:uri}`, `{root:parent:uri}`, `{env:NAME}`.
        project = pyproject.table("project")
        lists = [project.get("dependencies"), *pyproject.table("project", "optional-dependencies").values()]
        return any("{" in str(text) for texts in lists if isinstance(texts, list) for text in texts)
    if backend.startswith("pdm"):
        # A build hook may change any metadata.
        hook = pyproject.table("tool", "pdm", "build").get("custom-hook", "pdm_build.py")
        return (pyproject.path.parent / str(hook)).is_file()
    return False


def read_groups(directory: Path, names: Iterable[str]) -> tuple[str, ...]:
    """The requirements of dependency groups (PEP 735, or poetry's); raises ProjectError for an unknown group."""
    wanted = tuple(names)
    if not wanted:
        return ()
    pyproject = TomlFile.pyproject(directory)
    declared = pyproject.table("dependency-groups")
    poetry = read_poetry_groups(directory) if uses_poetry(directory) else {}
    lines: list[str] = []
    for name in wanted:
        if name in poetry:
            lines += poetry[name]
            continue
        try:
            resolver = DependencyGroupResolver(declared)  # type: ignore[arg-type]  # it checks what it is given
            lines += [str(requirement) for requirement in resolver.resolve(name)]
        except (LookupError, ValueError, TypeError, ExceptionGroup) as error:
            known = quoted(sorted({*declared, *poetry}))
            missing = canonicalize_name(name) not in map(canonicalize_name, declared)
            what = (
                f"there is no dependency group `{name}`" if missing else f"the dependency group `{name}`: {error}"
            )
            remedy = f"Choose from {known}" if known else "Declare it under `[dependency-groups]`"
            raise ProjectError(what, where=pyproject.origin("dependency-groups"), remedy=remedy) from error
    return tuple(lines)
