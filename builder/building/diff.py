"""What `builder.diff` does: comparing two lock files, for people or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from builder.building.contents_table import show_diff
from builder.resolution.lock_diff import LockDiff, LockEntry, diff_locks, read_lock_entries
from builder.terminal.console import console


def diff_lock_files(old_lock: Path, new_lock: Path, *, as_json: bool) -> None:
    """Show how a lock differs from another; raises ResolutionError for a file that is no lock."""
    diff = diff_locks(read_lock_entries(old_lock), read_lock_entries(new_lock))
    if as_json:
        console.result(json.dumps(_report(diff), indent=2))
    else:
        show_diff(diff)


def _report(diff: LockDiff) -> dict[str, object]:
    return {
        "added": [_entry(entry) for entry in diff.added],
        "removed": [_entry(entry) for entry in diff.removed],
        "changed": [{"name": new.name, "old": _of(old), "new": _of(new)} for old, new in diff.changed],
        "unchanged": diff.unchanged,
        "old_size": diff.old_size,
        "new_size": diff.new_size,
    }


def _entry(entry: LockEntry) -> dict[str, object]:
    return {"name": entry.name, **_of(entry)}


def _of(entry: LockEntry) -> dict[str, object]:
    return {"version": ", ".join(entry.versions) or None, "size": entry.size}
