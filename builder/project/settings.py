"""What a project tells the builder: the table `[tool.builder]` of its `pyproject.toml`."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.project.patterns import check_include

_KNOWN = ("extras", "groups", "include", "respect-gitignore")


@dataclass(frozen=True, slots=True)
class Settings:
    """The table `[tool.builder]`.

    :param include: patterns in gitignore syntax, relative to the build directory, of files to take in on purpose.
    :param respect_gitignore: leave out what git ignores.
    :param extras: extras of the project to ship.
    :param groups: dependency groups of the project to ship.
    """

    include: tuple[str, ...] = ()
    respect_gitignore: bool = False
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def read_settings(project_directory: Path) -> Settings:
    """Read the settings of the project in a directory; without a `pyproject.toml` they are the defaults.

    Raises ProjectError, with file and line, for what is not TOML and for keys and values that cannot be right.
    """
    path = project_directory / "pyproject.toml"
    try:
        text = path.read_bytes().decode()
        document = tomllib.loads(text)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ProjectError(f"could not read `{path}`: {error.strerror}", remedy="Make it readable") from error
    except UnicodeDecodeError as error:
        raise ProjectError(
            "`pyproject.toml` is not UTF-8 text", where=Origin(path), remedy="Save it as UTF-8"
        ) from error
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        where = Origin(path, int(found[1]) if found else None)
        raise ProjectError(
            f"`pyproject.toml` is not valid TOML: {error}", where=where, remedy="Correct it"
        ) from error
    tool = document.get("tool", {})
    table = tool.get("builder", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        what = "`tool.builder` is not a table"
        raise ProjectError(
            what, where=_line(path, text, "tool.builder"), remedy="Write it as a table: [tool.builder]"
        )
    for key in table:
        if key not in _KNOWN:
            raise _unknown(key, _line(path, text, f"tool.builder.{key}"))
    return Settings(
        include=_include(table.get("include", []), _line(path, text, "tool.builder.include")),
        respect_gitignore=_flag(
            table.get("respect-gitignore", False), _line(path, text, "tool.builder.respect-gitignore")
        ),
        extras=_names(table.get("extras", []), "extras", _line(path, text, "tool.builder.extras")),
        groups=_names(table.get("groups", []), "groups", _line(path, text, "tool.builder.groups")),
    )


def _include(value: object, where: Origin) -> tuple[str, ...]:
    remedy = 'Write it as a list of patterns, such as include = ["config/*.pem"]'
    if not isinstance(value, list):
        what = "`tool.builder.include` is not a list"
        raise ProjectError(what, where=where, remedy=remedy)
    patterns: list[str] = []
    for index, pattern in enumerate(value):
        if not isinstance(pattern, str):
            raise ProjectError(f"`tool.builder.include[{index}]` is not a string", where=where, remedy=remedy)
        check_include(pattern, where)
        patterns.append(pattern)
    return tuple(patterns)


def _names(value: object, key: str, where: Origin) -> tuple[str, ...]:
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
    known = ", ".join(f"`{name}`" for name in _KNOWN)
    close = difflib.get_close_matches(key.replace("_", "-"), _KNOWN, n=1)
    remedy = (
        f"Write `{close[0]}`; the known keys are {known}" if close else f"Remove it; the known keys are {known}"
    )
    return ProjectError(f"`tool.builder.{key}` is not a setting of the builder", where=where, remedy=remedy)


def _line(path: Path, text: str, key: str) -> Origin:
    """Where the dotted `key` is written, or the table that it belongs to; the file alone if neither can be found.

    `tomllib` does not tell positions, so the text is searched for the common ways of writing a key.
    """
    table, nearest = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.match(r"\s*(\[?)\s*([\w.\s\"'-]+?)\s*[\]=]", line)
        if not found:
            continue
        name = re.sub(r"[\s\"']", "", found[2])
        if found[1]:
            table = dotted = name
        else:
            dotted = f"{table}.{name}".lstrip(".")
        if f"{dotted}.".startswith(f"{key}."):
            return Origin(path, number)
        if f"{key}.".startswith(f"{dotted}."):
            nearest = number
    return Origin(path, nearest)
