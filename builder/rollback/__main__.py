"""`python -m builder.rollback LOCATION`: have a location run an earlier version again."""

from __future__ import annotations

from typing import Final

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options

_WHAT: Final = "What to run"


@click.command(
    cls=BuilderCommand,
    runs="builder.rollback.roll_back:roll_back",
    short_help="Have a location run an earlier version again.",
    examples=(
        "builder.rollback etl",
        "builder.rollback etl --to 1a2b3c4",
        "builder.rollback etl --deployment staging",
    ),
)
@click.argument("location")
@option(
    _WHAT,
    "--to",
    "commit",
    metavar="COMMIT",
    default_text="the last version that loaded before the present one",
    help="The version of this commit.",
)
@options.deployment_option(_WHAT, "Where it runs.", default_text="$DAGSTER_CLOUD_DEPLOYMENT or prod")
@options.wait_options("Update")
@verbosity_options
def main() -> None:
    """Update LOCATION to what it ran before, whose files are still in the registry; nothing is built.

    The versions are those that `builder.deploy` recorded, with all of their settings. Dagster Cloud is found by
    DAGSTER_CLOUD_URL (or DAGSTER_CLOUD_ORGANIZATION) and DAGSTER_CLOUD_API_TOKEN.
    """


if __name__ == "__main__":
    run_command(main, "builder.rollback")
