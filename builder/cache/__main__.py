"""`python -m builder.cache prune|clear`: remove entries from the cache of this machine."""

from __future__ import annotations

import click

from builder.terminal.command_line import BuilderGroup
from builder.terminal.running import run_command, verbosity_options


@click.group(
    cls=BuilderGroup,
    short_help="Remove entries from the cache.",
    examples=("builder.cache prune", "builder.cache clear"),
)
def main() -> None:
    """Remove entries from the cache of this machine, such as wheels and unpacked builders.

    `builder.selftest` shows what it holds. Everything in it can be built or fetched again. Builds prune it daily.
    """


@main.command(
    runs="builder.cache.commands:prune",
    short_help="Remove entries not used for 30 days.",
    examples=("builder.cache prune",),
)
@verbosity_options
def prune() -> None:
    """Remove entries not used for 30 days, and leftovers of killed runs.

    With BUILDER_CACHE_MAX_GB, also the least recently used ones, until the cache has at most that size.
    """


@main.command(
    runs="builder.cache.commands:clear", short_help="Remove all entries.", examples=("builder.cache clear",)
)
@verbosity_options
def clear() -> None:
    """Remove all entries. Do not run it during a build, which would fail."""


if __name__ == "__main__":
    run_command(main, "builder.cache")
