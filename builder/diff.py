"""`python -m builder.diff OLD_LOCK NEW_LOCK`: what changed from one lock to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.console import console
from builder.terminal.running import run_command, verbosity_options

if TYPE_CHECKING:
    from builder.resolution.lock_diff import LockDiff, Locked


@click.command(
    cls=BuilderCommand,
    short_help="Show what changed between two locks.",
    examples=(
        "builder.diff old/deps-1f.pylock.toml out/deps-2e.pylock.toml",
        "builder.diff --json OLD_LOCK NEW_LOCK",
    ),
)
@click.argument("old_lock", type=click.Path(path_type=Path))
@click.argument("new_lock", type=click.Path(path_type=Path))
@options.json_option("Print the difference")
@verbosity_options
def main(old_lock: Path, new_lock: Path, *, as_json: bool) -> None:
    """Show which distributions were added, removed and changed from OLD_LOCK to NEW_LOCK, with their sizes.

    A lock is the deps-HASH.pylock.toml that a build leaves beside its deps PEX, or any other pylock.toml. The exit
    code is 0 whether they differ or not.
    """
    from builder.building.contents_table import show_diff  # noqa: PLC0415  (start-up time)
    from builder.resolution.lock_diff import diff_locks, read_locked  # noqa: PLC0415  (start-up time)

    diff = diff_locks(read_locked(old_lock), read_locked(new_lock))
    if as_json:
        console.result(json.dumps(_report(diff), indent=2))
    else:
        show_diff(diff)


def _report(diff: LockDiff) -> dict[str, object]:
    return {
        "added": [_entry(found) for found in diff.added],
        "removed": [_entry(found) for found in diff.removed],
        "changed": [{"name": new.name, "old": _of(old), "new": _of(new)} for old, new in diff.changed],
        "unchanged": diff.unchanged,
        "old_size": diff.old_size,
        "new_size": diff.new_size,
    }


def _entry(found: Locked) -> dict[str, object]:
    return {"name": found.name, **_of(found)}


def _of(found: Locked) -> dict[str, object]:
    return {"version": ", ".join(found.versions) or None, "size": found.size}


if __name__ == "__main__":
    run_command(main, "builder.diff")
