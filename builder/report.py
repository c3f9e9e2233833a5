"""How doors show what changed, and what a build is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from builder.console import console
from builder.words import size

if TYPE_CHECKING:
    from builder.resolution.lock_diff import LockDiff, Locked

_UNKNOWN: Final = "?"


def show_diff(diff: LockDiff) -> None:
    """Show what changed from one lock to another: a line for each distribution, and the sum."""
    rows = list(_diff_rows(diff))
    if rows:
        console.table(["", "distribution", "old", "new", ">old size", ">new size"], rows)
    console.result(diff_summary(diff))


def diff_summary(diff: LockDiff) -> str:
    """What changed from one lock to another, in one line."""
    unknown = f" (without {diff.unknown} of unknown size)" if diff.unknown else ""
    if not diff:
        return f"no difference: {diff.unchanged} distributions, {size(diff.new_size)}{unknown}"
    counts = {"added": diff.added, "removed": diff.removed, "changed": diff.changed}
    said = [f"{len(found)} {what}" for what, found in counts.items() if found]
    counted = f"{', '.join(said)}, {diff.unchanged} unchanged"
    return f"{counted}; {size(diff.old_size)} → {size(diff.new_size)}{unknown}"


def _diff_rows(diff: LockDiff) -> Iterator[list[str]]:
    for new in diff.added:
        yield ["added", new.name, "", new.version, "", _size(new)]
    for old in diff.removed:
        yield ["removed", old.name, old.version, "", _size(old), ""]
    for old, new in diff.changed:
        same = " (another file)" if old.versions == new.versions else ""
        yield ["changed", new.name, old.version, new.version + same, _size(old), _size(new)]


def _size(found: Locked) -> str:
    return _UNKNOWN if found.size is None else size(found.size)
