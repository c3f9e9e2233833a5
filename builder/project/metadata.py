"""The metadata of a local package: name, requirements, extras (core metadata, PEP 621)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from builder.errors import ProjectError
from builder.project.lines import line_of_text
from builder.project.meant_requirements import remedy_for
from builder.project.toml_file import TomlFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The part of a package's core metadata that building needs.

    :param name: as declared, not normalised.
    :param requires: `Requires-Dist` as PEP 508 strings; those of extras have `extra == "…"` in their marker.
    :param requires_python: a version specifier, or empty.
    :param manifest: the file that declares them.
    :param extras: the names of its extras.
    """

    name: str
    requires: tuple[str, ...]
    requires_python: str
    manifest: Path
    extras: tuple[str, ...] = ()


MetadataBuilder = Callable[[Path], Metadata]
"""Gets the metadata of the package in a directory by running its build backend; raises SdistBuildError."""


def is_package(directory: Path, *, required: bool = False) -> bool:
    """Whether a directory holds an installable package.

    That is a `setup.py`, or a `[build-system]` in pyproject.toml; `package` in `[tool.uv]` and `package-mode` in
    `[tool.poetry]` take precedence. As for uv, a pyproject.toml that only configures tools or lists dependencies
    is not a package.

    :param required: whether it is required by its path: pip and uv then install it even without a
        `[build-system]`, and whatever `[tool.uv]` says.
    """
    pyproject = TomlFile.pyproject(directory)
    settings = (*(() if required else (("uv", "package"),)), ("poetry", "package-mode"))
    for wanted in (pyproject.table("tool", tool).get(key) for tool, key in settings):
        if isinstance(wanted, bool):
            return wanted
    declared = "build-system" in pyproject.data or (required and "project" in pyproject.data)
    return declared or (directory / "setup.py").is_file()


def applicable(texts: Iterable[str], markers: Mapping[str, str], extras: Iterable[str]) -> list[Requirement]:
    """The requirements whose marker holds for the target, with or without the extras, without their markers."""
    lines = []
    wanted = ["", *extras]
    for text in texts:
        requirement = Requirement(text)
        marker, requirement.marker = requirement.marker, None
        try:
            applies = marker is None or any(marker.evaluate({**markers, "extra": extra}) for extra in wanted)
        except (UndefinedComparison, UndefinedEnvironmentName) as error:
            raise ProjectError(
                f"the marker of `{text}` cannot be evaluated: {error}", remedy="Write it as PEP 508 says"
            ) from error
        if applies:
            lines.append(requirement)
    return lines


_MOST_EXTRAS: Final = 200
"""Extras may require each other; this many take five seconds."""

_NEEDED: Final = ("dependencies", "optional-dependencies", "name")


def static_metadata(pyproject: TomlFile) -> Metadata | None:
    """The metadata in `[project]` (PEP 621); None if a field that the builder needs is dynamic."""
    project = pyproject.table("project")
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and any(key in dynamic for key in _NEEDED):
        return None
    name = project.get("name")
    if not isinstance(name, str):
        where = pyproject.origin("project")
        raise ProjectError("`[project]` has no `name`", where=where, remedy='Write `name = "…"` under `[project]`')
    requires = requirement_texts(project.get("dependencies", []), "project.dependencies", pyproject)
    optional = project.get("optional-dependencies", {})
    if not isinstance(optional, dict):
        where = pyproject.origin("project", "optional-dependencies")
        raise ProjectError("`project.optional-dependencies` is not a table", where=where, remedy="See PEP 621")
    if len(optional) > _MOST_EXTRAS:
        raise ProjectError(
            f"`project.optional-dependencies` has {len(optional)} extras, and {_MOST_EXTRAS} is the limit",
            where=pyproject.origin("project", "optional-dependencies"),
            remedy="Declare fewer",
        )
    for extra, texts in optional.items():
        key = f"project.optional-dependencies.{extra}"
        requires += [with_extra(text, extra) for text in requirement_texts(texts, key, pyproject)]
    requires_python = project.get("requires-python", "")
    return Metadata(
        name=name,
        requires=tuple(requires),
        requires_python=requires_python if isinstance(requires_python, str) else "",
        manifest=pyproject.path,
        extras=tuple(optional),
    )


def requirement_texts(value: object, key: str, pyproject: TomlFile) -> list[str]:
    """A list of PEP 508 requirements; raises ProjectError, with the line, for one that is not."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        where = pyproject.origin(key)
        raise ProjectError(f"`{key}` is not a list of texts", where=where, remedy='Write `["dagster", …]`')
    check_requirements(value, key, pyproject.path)
    return list(value)


_LONGEST: Final = 100
"""Characters of a text that an error shows."""


def check_requirements(texts: Iterable[str], key: str, path: Path) -> None:
    """Raise ProjectError, with the line, for a text at a key of a file that is no PEP 508 requirement."""
    for text in texts:
        try:
            Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            where = line_of_text(text, path)
            text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"  # noqa: PLW2901
            problem = str(error).splitlines()[0]
            what = f"`{text}` in `{key}` is not a valid requirement: {problem}"
            raise ProjectError(what, where=where, remedy=remedy_for(text)) from error


def with_extra(text: str, extra: str) -> str:
    """The requirement of an extra as in `Requires-Dist`, with the extra in its marker."""
    requirement = Requirement(text)
    condition = f'extra == "{extra}"'
    marker = f"({requirement.marker}) and {condition}" if requirement.marker else condition
    requirement.marker = None
    # A URL ends only at a blank before the semicolon (PEP 508).
    return f"{requirement} ; {marker}"
