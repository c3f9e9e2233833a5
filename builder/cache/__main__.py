"""`python -m builder.cache prune|clear`: make room in the cache of this machine."""

from __future__ import annotations

import click

from builder.terminal.command_line import BuilderGroup
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
    runs="builder.cache.commands:prune",
    short_help="Remove what was not used for 30 days.",
    examples=("builder.cache prune",),
)
@verbosity_options
def prune() -> None:
    """Remove what was not used for 30 days, and what killed runs left.

    With BUILDER_CACHE_MAX_GB, also what was used longest ago, until the cache has at most that size.
    """


@main.command(runs="builder.cache.commands:clear", short_help="Remove all.", examples=("builder.cache clear",))
@verbosity_options
def clear() -> None:
    """Remove all that the cache holds. Not while a build is running: it would fail."""


if __name__ == "__main__":
    run_command(main, "builder.cache")
