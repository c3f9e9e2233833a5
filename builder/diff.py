"""`python -m builder.diff OLD_LOCK NEW_LOCK`: compare two locks."""

from __future__ import annotations

from pathlib import Path

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.building.diff:diff_lock_files",
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
def main() -> None:
    """Show which distributions were added, removed and changed from OLD_LOCK to NEW_LOCK, with their sizes.

    A lock is the deps-HASH.pylock.toml that a build leaves beside its deps PEX, or any other pylock.toml. The exit
    code is 0 whether they differ or not.
    """


if __name__ == "__main__":
    run_command(main, "builder.diff")
