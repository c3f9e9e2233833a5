"""The line of a text file that an error or a notice is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from builder.errors import Origin


def line_where(path: Path, holds: Callable[[str], object]) -> Origin:
    """The first line of a file for which a condition holds; without a line if there is none."""
    return Origin(path, next((number for number, line in enumerate(_lines(path), 1) if holds(line)), None))


def line_of_text(text: str, path: Path) -> Origin:
    """The first line of a file that holds a text."""
    return line_where(path, lambda line: text in line)


def line_of_name(name: str, path: Path) -> Origin:
    """The first line of a file that names a distribution, however it spells the name.

    A line that pins or lists it says more than a comment, or the name of the project itself.
    """
    spelling = re.sub(r"[-_.]+", "[-_.]+", re.escape(name).replace(r"\-", "-").replace(r"\.", "."))
    pattern = re.compile(rf"(?<![\w.-]){spelling}(?![\w-])", re.IGNORECASE)
    hits = {number: line for number, line in enumerate(_lines(path), 1) if pattern.search(line.partition("#")[0])}
    listed = (number for number, line in hits.items() if not re.match(r"\s*name\s*=", line))
    return Origin(path, next(listed, next(iter(hits), None)))


def _lines(path: Path) -> list[str]:
    """The lines of a file; none where it cannot be read."""
    try:
        # To open a named pipe would wait for ever.
        return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    except OSError:
        return []
