"""TOML files with the line of each key, which tomllib does not provide."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import Origin, ProjectError
from builder.project.limited_text import read_limited

_MOST_BYTES: Final = 500_000
"""Parsed in a second; ten times the largest public pyproject.toml."""

_LONG_KEY: Final = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){100}")
"""A dotted key that takes tomllib quadratic time."""

_NULL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\(?:u0000|U00000000|x00)")
"""NUL, which no path and no name can contain."""


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A TOML file that was read."""

    path: Path
    text: str
    data: Mapping[str, object]

    @classmethod
    def pyproject(cls, directory: Path) -> TomlFile:
        """The pyproject.toml of a directory; an empty one if there is none."""
        path = directory / "pyproject.toml"
        return cls.load(path) if path.exists() else cls(path, "", {})

    @classmethod
    def load(cls, path: Path) -> TomlFile:
        """Read a file; raises ProjectError, with the line, if it is missing, unreadable or not TOML."""
        return _parse(path, read_limited(path, _MOST_BYTES))

    def table(self, *keys: str) -> Mapping[str, object]:
        """The table at these keys; an empty one if there is none."""
        return table(self.data, *keys)

    def origin(self, *keys: str) -> Origin:
        """Where the key is written, or the nearest table that it belongs to.

        The text is searched for the common ways of writing a key; the file alone if none is found.
        """
        wanted = ".".join(keys)
        table, nearest = "", None
        for number, line in enumerate(self.text.splitlines(), start=1):
            match = re.match(r"\s*(\[{0,2})\s*([\w.\s\"'-]+?)\s*[\]=]", line)
            if not match:
                continue
            name = re.sub(r"[\s\"']", "", match[2])
            dotted = name if match[1] else f"{table}.{name}".lstrip(".")
            table = name if match[1] else table
            if f"{dotted}.".startswith(f"{wanted}."):
                return Origin(self.path, number)
            if f"{wanted}.".startswith(f"{dotted}."):
                nearest = number
        return Origin(self.path, nearest)


def table(value: object, *keys: str) -> Mapping[str, object]:
    """The table at these keys of a value; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=64)
def _parse(path: Path, text: str) -> TomlFile:
    """Parse a text, once: a pyproject.toml is read several times for each requirement in it."""
    if text.startswith("\ufeff"):
        raise ProjectError(
            f"{path.name} is not valid TOML: it begins with a byte order mark",
            where=Origin(path, 1),
            remedy="Save it as UTF-8 without a byte order mark (BOM)",
        )
    if long := _LONG_KEY.search(text):
        where = Origin(path, text.count("\n", 0, long.start()) + 1)
        raise ProjectError(f"{path.name} has a key of more than 100 parts", where=where, remedy="Correct it")
    if null := _NULL.search(text):
        where = Origin(path, text.count("\n", 0, null.start()) + 1)
        raise ProjectError(f"{path.name} has a null character in a text", where=where, remedy="Remove it")
    try:
        return TomlFile(path, text, tomllib.loads(text))
    except RecursionError as error:
        raise ProjectError(f"{path.name} is nested too deeply", where=Origin(path), remedy="Correct it") from error
    except ValueError as error:
        # TOMLDecodeError, or a number with too many digits for Python.
        line = re.search(r"at line (\d+)", str(error))
        number, remedy = _remedy(text, str(error), int(line[1]) if line else None)
        problem = str(error).partition(";")[0]
        raise ProjectError(
            f"{path.name} is not valid TOML: {problem}", where=Origin(path, number), remedy=remedy
        ) from error


def _remedy(text: str, problem: str, number: int | None) -> tuple[int | None, str]:
    """The line to change, and how; for a missing comma in an array, the parser reports the next line."""
    lines = text.splitlines()
    if number is None or not 0 < number <= len(lines):
        return number, "Correct it"
    here = lines[number - 1].strip()
    above = next(
        (candidate for candidate in range(number - 1, 0, -1) if lines[candidate - 1].partition("#")[0].strip()),
        None,
    )
    before = lines[above - 1].strip() if above else ""
    if problem.startswith("Unclosed array") and here[:1] in {'"', "'", "{"} and before[-1:] not in {",", "[", ""}:
        return above, f"Write a comma at the end of that line: `{before},`"
    if before.endswith(",") and re.fullmatch(r"\[+[^,]*\]+", here):
        return number, "Close the array above that line with `]`"
    return number, f"Correct `{here}`" if here else "Correct it"
