"""The project's settings: the table `[tool.builder]` of its `pyproject.toml`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.project.patterns import check_count, check_include
from builder.project.toml_file import TomlFile
from builder.terminal.formatting import quoted

_KNOWN = ("extras", "groups", "include", "respect-gitignore")


@dataclass(frozen=True, slots=True)
class Settings:
    """The table `[tool.builder]`.

    :param include: patterns in gitignore syntax, relative to the build directory, of files to include.
    :param respect_gitignore: exclude files that git ignores.
    :param extras: extras of the project to install.
    :param groups: dependency groups of the project to install.
    """

    include: tuple[str, ...] = ()
    respect_gitignore: bool = False
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def read_settings(project_directory: Path) -> Settings:
    """Read the settings of the project in a directory; without a `pyproject.toml` they are the defaults.

    Raises ProjectError, with file and line, for invalid TOML, unknown keys and invalid values.
    """
    file = TomlFile.pyproject(project_directory)
    tool = file.table("tool")
    if not isinstance(tool.get("builder", {}), dict):
        where = file.origin("tool", "builder")
        raise ProjectError(
            "`tool.builder` is not a table", where=where, remedy="Write it as a table: [tool.builder]"
        )
    table = file.table("tool", "builder")

    def value(key: str, default: object) -> tuple[object, Origin]:
        return table.get(key, default), file.origin("tool", "builder", key)

    for key in table:
        if key not in _KNOWN:
            raise _unknown(key, file.origin("tool", "builder", key))
    return Settings(
        include=_include(*value("include", [])),
        respect_gitignore=_flag(*value("respect-gitignore", default=False)),
        extras=_names("extras", *value("extras", [])),
        groups=_names("groups", *value("groups", [])),
    )


def _include(value: object, where: Origin) -> tuple[str, ...]:
    remedy = 'Write it as a list of patterns, such as include = ["config/*.pem"]'
    if not isinstance(value, list):
        what = "`tool.builder.include` is not a list"
        raise ProjectError(what, where=where, remedy=remedy)
    check_count(value, "`tool.builder.include`", where)
    patterns: list[str] = []
    for index, pattern in enumerate(value):
        if not isinstance(pattern, str):
            raise ProjectError(f"`tool.builder.include[{index}]` is not a string", where=where, remedy=remedy)
        check_include(pattern, where)
        patterns.append(pattern)
    return tuple(patterns)


def _names(key: str, value: object, where: Origin) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        what = f"`tool.builder.{key}` is not a list of names"
        raise ProjectError(what, where=where, remedy=f'Write it as in {key} = ["aws"]')
    return tuple(value)


def _flag(value: object, where: Origin) -> bool:
    if not isinstance(value, bool):
        what = "`tool.builder.respect-gitignore` is neither true nor false"
        raise ProjectError(what, where=where, remedy="Write respect-gitignore = true, or remove the line")
    return value


def _unknown(key: str, where: Origin) -> ProjectError:
    known = quoted(_KNOWN)
    close = difflib.get_close_matches(key.replace("_", "-"), _KNOWN, n=1)
    remedy = (
        f"Write `{close[0]}`; the known keys are {known}" if close else f"Remove it; the known keys are {known}"
    )
    return ProjectError(f"`tool.builder.{key}` is not a setting of the builder", where=where, remedy=remedy)
