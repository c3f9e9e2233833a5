"""Formatting sizes, counts and lists for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def size(count: int) -> str:
    """A number of bytes for people, in decimal units."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """A time of up to a day for people: `40 s`, `12 min`, `3 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def near(text: str) -> str:
    """A text whose paths are as seen from the current directory, where that is shorter.

    The directory itself, and those above, keep their names.
    """
    here = Path.cwd()
    for level, place in enumerate((here, *here.parents[:-1])):
        way, path = "../" * level, f"{place}/"
        if len(way) < len(path):
            towards = rf"(?!{re.escape(here.parts[-level])}(?![\w.-]))" if level else r"(?=[^\s/])"
            # What stands before a path in a URL, or behind a name, is none of it.
            text = re.sub(rf"(?<![\w/.:~@-]){re.escape(path)}{towards}", way, text)
    return text


def counted(count: int, noun: str) -> str:
    """A number of things, such as `1 location` or `2 locations`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def quoted(names: Iterable[object], most: int | None = None) -> str:
    """Names as a message has them, each in backquotes; of more than `most` the number of the others."""
    listed = [f"`{name}`" for name in names]
    more = f" and {len(listed) - most} more" if most is not None and len(listed) > most else ""
    return ", ".join(listed[:most]) + more
