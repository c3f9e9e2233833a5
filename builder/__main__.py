"""`python -m builder`: an overview of the commands."""

from __future__ import annotations

import importlib
from typing import Final

import click

from builder import __version__
from builder.terminal.command_line import BuilderCommand
from builder.terminal.console import console
from builder.terminal.running import run_command

COMMANDS: Final = (
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
        commands = {f"builder.{name}": command_of(name).short_help or "" for name in COMMANDS}
        with formatter.section("Modules, each with --help"):
            formatter.write_dl([*commands.items(), *_OTHERS.items()])


def command_of(name: str) -> BuilderCommand:
    """A command by its name: a module, or a package with a `__main__`; neither imports anything heavy."""
    module = importlib.import_module(f"builder.{name}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"builder.{name}.__main__")
    command: BuilderCommand = module.main
    return command


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
