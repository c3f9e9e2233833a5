"""Poetry's own dialect, `[tool.poetry]`, read by poetry-core: carets, tildes, markers, groups, paths, git."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import Origin, ProjectError
from builder.project.metadata import Metadata, read_pyproject, table

if TYPE_CHECKING:
    from poetry.core.packages.dependency import Dependency
    from poetry.core.packages.project_package import ProjectPackage


def uses_poetry(directory: Path) -> bool:
    """Whether poetry is the tool of the project in a directory.

    Its build backend says so; without a `[build-system]`, `[tool.poetry]` does, unless there is a setup.py, which
    is what pip would take. A `[tool.poetry]` beside another backend is not in use.
    """
    pyproject = read_pyproject(directory)
    system = pyproject.get("build-system")
    if isinstance(system, dict):
        return str(system.get("build-backend", "")).startswith("poetry")
    return bool(table(table(pyproject, "tool"), "poetry")) and not (directory / "setup.py").is_file()


def read_poetry(directory: Path) -> Metadata:
    """The metadata of a poetry project; runs no code of it. Raises ProjectError in poetry-core's words."""
    package = _package(directory)
    requires = tuple(_pep508(dependency) for dependency in package.requires)
    python = package.python_versions
    return Metadata(
        name=package.name,
        requires=requires,
        requires_python="" if python == "*" else str(package.python_constraint).replace(" || ", ","),
        manifest=directory / "pyproject.toml",
        extras=tuple(package.extras),
    )


def read_poetry_groups(directory: Path) -> Mapping[str, tuple[str, ...]]:
    """The dependency groups of a poetry project, optional ones too, less the main one."""
    package = _package(directory)
    names = package.dependency_group_names(include_optional=True) - {"main"}
    return {name: tuple(_pep508(found) for found in package.dependency_group(name).dependencies) for name in names}


def _package(directory: Path) -> ProjectPackage:
    from poetry.core.factory import Factory  # noqa: PLC0415  (start-up time)

    try:
        return Factory().create_poetry(directory).package
    except (RuntimeError, ValueError) as error:
        # poetry-core has no common base for its complaints; all that a file can cause are these.
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ProjectError(
            "pyproject.toml is not what poetry expects",
            where=Origin(directory / "pyproject.toml"),
            detail="\n".join(lines),
            remedy="Correct it; `poetry check` says more",
        ) from error


def _pep508(dependency: Dependency) -> str:
    return dependency.to_pep_508()
