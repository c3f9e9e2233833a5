"""`python -m builder.verify OUT_DIR`: load what was built as the receiving server will."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options

_WHAT: Final = "What to load"
_HOW: Final = "How to load it"


@click.command(
    cls=BuilderCommand,
    runs="builder.building.verify:verify_built",
    short_help="Load what was built as the server will.",
    examples=(
        "builder.verify out",
        "builder.verify out --location etl --env API_KEY",
        "builder.verify --source S.pex --deps D.pex --workspace .",
    ),
)
@click.argument("out_dir", required=False, type=click.Path(path_type=Path))
@options.location_option(_WHAT, "Only this location.")
@option(
    _WHAT,
    "--source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A source PEX, instead of OUT_DIR.",
)
@option(
    _WHAT,
    "--deps",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The deps PEX that belongs to it.",
)
@option(
    _WHAT,
    "--workspace",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="The dagster_cloud.yaml of the location.",
)
@options.env_option(_HOW)
@options.timeout_option(_HOW, "--timeout", "How long a location may load.", seconds=120)
@options.json_option("Print all that was found")
@verbosity_options
def main() -> None:
    """Load the definitions of what `builder.deploy` built into OUT_DIR, as Dagster Cloud's server does.

    The PEX files are unpacked as there, and the code is loaded by the target's Python, in a process of its own. It
    gets the environment variables of this shell, but for secrets; those it needs are given with --env.

    The exit code is 0 if every location loads, 1 if one does not, and 3 if none fails but this machine cannot run
    one: that says nothing of how it will do on the server.
    """


if __name__ == "__main__":
    run_command(main, "builder.verify")
