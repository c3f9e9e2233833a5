"""`python -m builder.source PROJECT_DIR OUT_DIR`: build the source PEX of a project."""

from __future__ import annotations

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.building.source:build_source_pex",
    short_help="Build the source PEX of a project.",
    examples=("builder.source . out", "builder.source . out --include data/model.bin --report"),
)
@options.project_argument
@options.out_argument
@options.include_option
@options.wanted_options
@options.target_options
@options.report_option
@verbosity_options
def main() -> None:
    """Write source-HASH.pex, with the code in PROJECT_DIR and the local packages that it names."""


if __name__ == "__main__":
    run_command(main, "builder.source")
