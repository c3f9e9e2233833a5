"""`python -m builder.selftest`: check that this builder works on this machine."""

from __future__ import annotations

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    runs="builder.building.selftest:selftest",
    short_help="Check that this builder works here.",
    examples=("builder.selftest", "builder.selftest --offline", "builder.selftest --online"),
)
@option("What to check", "--offline", is_flag=True, help="Do not query the package index.")
@option("What to check", "--online", is_flag=True, help="Whether a newer builder.pex is published.")
@options.json_option("Print the checks")
@verbosity_options
def main() -> None:
    """Start everything that the builder relies on, and build, unpack and import a PEX of one package.

    The exit code is 1 if anything does not work.
    """


if __name__ == "__main__":
    run_command(main, "builder.selftest")
