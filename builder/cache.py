"""`python -m builder.cache prune|clear`: make room in the cache of this machine."""

from __future__ import annotations

import click

from builder.system import cache, storage
from builder.terminal.command_line import BuilderCommand, BuilderGroup
from builder.terminal.console import console
from builder.terminal.formatting import size
from builder.terminal.running import run_command, verbosity_options


@click.group(
    cls=BuilderGroup,
    short_help="Make room in the cache.",
    examples=("builder.cache prune", "builder.cache clear"),
)
def main() -> None:
    """Remove what the cache of this machine holds, such as wheels and unpacked builders.

    `builder.selftest` shows what it holds. All of it can be made or fetched again. Builds prune it once a day.
    """


@main.command(
    cls=BuilderCommand, short_help="Remove what was not used for 30 days.", examples=("builder.cache prune",)
)
@verbosity_options
def prune() -> None:
    """Remove what was not used for 30 days, and what killed runs left.

    With BUILDER_CACHE_MAX_GB, also what was used longest ago, until the cache has at most that size.
    """
    with console.progress("pruning", None):
        removal = cache.prune()
    _show(removal)


@main.command(cls=BuilderCommand, short_help="Remove all.", examples=("builder.cache clear",))
@verbosity_options
def clear() -> None:
    """Remove all that the cache holds. Not while a build is running: it would fail."""
    with console.progress("clearing", None):
        removal = cache.clear()
    _show(removal)


def _show(removal: cache.Removal) -> None:
    entries = "1 entry" if removal.entries == 1 else f"{removal.entries} entries"
    sizes = f"{size(removal.before)} before, {size(removal.after)} now"
    console.result(f"removed {entries} from `{storage.cache_directory()}`: {sizes}")


if __name__ == "__main__":
    run_command(main, "builder.cache")
