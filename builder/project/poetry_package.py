"""Reading a pyproject.toml with poetry-core, whose import takes 170 ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from poetry.core.constraints.version import parse_constraint
from poetry.core.factory import Factory
from poetry.core.version.helpers import format_python_constraint

from builder.errors import Origin, ProjectError
from builder.project.metadata import check_requirements


@dataclass(frozen=True, slots=True)
class PoetryPackage:
    """A project as poetry-core sees it.

    :param requires_python: a version specifier, or empty.
    :param groups: the requirements (PEP 508) of each group, including optional ones; those of the package are
        `main`.
    """

    name: str
    requires_python: str
    extras: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]


def read_poetry_package(directory: Path) -> PoetryPackage:
    """Read a project; runs no code of it. Raises ProjectError with poetry-core's message."""
    try:
        package = Factory().create_poetry(directory).package
    except (OSError, RuntimeError, ValueError, AttributeError, KeyError, TypeError) as error:
        # poetry-core's errors have no common base class; values of a wrong type raise the last three.
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ProjectError(
            "pyproject.toml is not what poetry expects",
            where=Origin(directory / "pyproject.toml"),
            detail="\n".join(lines),
            remedy="Correct it; `poetry check` says more",
        ) from error
    groups: dict[str, tuple[str, ...]] = {
        # `[tool.poetry.dependencies]` has the sources of requirements in `[project]`: a path, git, an index.
        name: tuple(
            dependency.to_pep_508() for dependency in package.dependency_group(name).dependencies_for_locking
        )
        for name in package.dependency_group_names(include_optional=True)
    }
    for name, texts in groups.items():
        check_requirements(texts, f"tool.poetry, group {name}", directory / "pyproject.toml")
    return PoetryPackage(package.name, _requires_python(package.python_versions), tuple(package.extras), groups)


def _requires_python(versions: str) -> str:
    """The Python versions of a project as a specifier: gaps (`~3.10 || ~3.12`) become exclusions."""
    return "" if versions == "*" else format_python_constraint(parse_constraint(versions))
