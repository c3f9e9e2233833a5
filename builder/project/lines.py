"""Finding the line of a text file that an error or a notice is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin

_PARTS: Final = 5
"""The maximum number of dotted parts in a name."""


def line_where(path: Path, holds: Callable[[str], object]) -> Origin:
    """The first line of a file for which a condition holds; without a line if there is none."""
    return Origin(path, next((number for number, line in enumerate(_lines(path), 1) if holds(line)), None))


def line_of_text(text: str, path: Path) -> Origin:
    """The first line of a file that holds a text."""
    return line_where(path, lambda line: text in line)


def line_of_name(name: str, path: Path) -> Origin:
    """The first line of a file that names a distribution; for several names of one file, see `NamedLines`."""
    return NamedLines(path).of(name)


class NamedLines:
    """The lines of a file that name distributions, in any spelling; the file is read once for all names.

    Lines that pin or list a name are preferred to comments and to the name of the project itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed: dict[str, int] = {}
        self._own: dict[str, int] = {}
        for number, line in enumerate(_lines(path), 1):
            lines = self._own if re.match(r"\s*name\s*=", line) else self._listed
            for word in re.findall(r"[\w.-]+", line.partition("#")[0]):
                # The part before a dot may also be the name, as in `pandas.io`.
                parts = word.split(".")
                for count in range(1, min(len(parts), _PARTS) + 1):
                    lines.setdefault(canonicalize_name(".".join(parts[:count])), number)

    def of(self, name: str) -> Origin:
        """The first line that names a distribution; the file alone if there is none."""
        key = canonicalize_name(name)
        return Origin(self._path, self._listed.get(key, self._own.get(key)))


def _lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        # Opening a named pipe would wait forever.
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    except OSError:
        return []
