"""`python -m builder`: an overview of the commands."""

from __future__ import annotations

import importlib
from typing import Final

import click

from builder import __version__
from builder.terminal.command_line import BuilderCommand
from builder.terminal.console import console
from builder.terminal.running import run_command

_COMMANDS: Final = (
    "deploy",
    "status",
    "rollback",
    "image",
    "verify",
    "preview",
    "deps",
    "source",
    "diff",
    "packages",
    "configure",
    "cache",
    "selftest",
)

_OTHERS: Final = {
    "dagster": "Dagster's command line.",
    "dagster_cloud_cli.entrypoint": "The command line of Dagster Cloud.",
    "dagster_dg_cli.cli": "The command line `dg`.",
}


class _Overview(BuilderCommand):
    """A command whose help lists the modules instead of the options."""

    def format_options(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        commands = {f"builder.{name}": _short_help(name) for name in _COMMANDS}
        with formatter.section("Modules, each with --help"):
            formatter.write_dl([*commands.items(), *_OTHERS.items()])


def _short_help(name: str) -> str:
    """The one-line help of a command, from its module, which imports nothing heavy."""
    command: click.Command = importlib.import_module(f"builder.{name}").main
    return command.short_help or ""


@click.command(
    cls=_Overview,
    examples=(
        "builder.deploy . out",
        "builder.verify out",
        "builder.deploy . out --upload-pex --update-code-location",
        "builder.deploy --help",
    ),
)
@click.version_option(__version__, prog_name="builder", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Build PEX files from Dagster projects, and deploy them: one module for each task."""
    console.result(context.get_help())


if __name__ == "__main__":
    run_command(main, "builder")
