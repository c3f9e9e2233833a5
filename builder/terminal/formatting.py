"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """A number of bytes for people, in decimal units."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
