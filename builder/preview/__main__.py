"""`python -m builder.preview OUT_DIR`: run what was built on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options

_WHAT: Final = "What to run"
_PAGE: Final = "Web page"


@click.command(
    cls=BuilderCommand,
    runs="builder.preview.preview:preview",
    short_help="Run what was built, with the web page.",
    examples=(
        "builder.preview out --webserver",
        "builder.preview out --port 8080 --location etl --env API_KEY",
    ),
)
@click.argument("out_dir", type=click.Path(path_type=Path))
@options.location_option(_WHAT, "Only this location.")
@options.env_option(_WHAT)
@option(_PAGE, "--webserver", "fetch", is_flag=True, help="Fetch dagster-webserver unless it is a dependency.")
@option(
    _PAGE,
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    metavar="N",
    help="The page's port on localhost.",
)
@verbosity_options
def main() -> None:
    """Run what `builder.deploy` built into OUT_DIR on this machine, until Ctrl-C.

    Each location that loads gets a code server from its PEX files, as on Dagster Cloud's server. If
    dagster-webserver is among the dependencies, or with --webserver, they are shown on a web page that only this
    machine can see, and assets can be materialised there; schedules and sensors start nothing by themselves.
    In the end nothing is left running, and what dagster stored meanwhile is gone.

    The code gets the environment variables of this shell, but for secrets; those it needs are given with --env.
    """


if __name__ == "__main__":
    run_command(main, "builder.preview")
