"""`python -m builder.status`: what the locations of Dagster Cloud run."""

from __future__ import annotations

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.status.show:show_status",
    short_help="Show what the locations of Dagster Cloud run.",
    examples=(
        "builder.status",
        "builder.status --deployment prod --location etl",
        "builder.status --json",
    ),
)
@options.deployment_option(
    "What to show", "Only this one.", default_text="$DAGSTER_CLOUD_DEPLOYMENT or all full ones"
)
@options.location_option("What to show", "Only this location.")
@options.json_option("Print it")
@verbosity_options
def main() -> None:
    """Show which commit each location runs, since when, and whether it is loaded.

    Dagster Cloud is found by DAGSTER_CLOUD_URL (or DAGSTER_CLOUD_ORGANIZATION) and DAGSTER_CLOUD_API_TOKEN. The
    exit code is 1 if a location does not load.
    """


if __name__ == "__main__":
    run_command(main, "builder.status")
