"""`python -m builder`: says what there is to run."""

from __future__ import annotations

import click

from builder import __version__
from builder.console import console
from builder.running import run_door

_DOORS = {
    "builder.deploy": "build both PEX files of every location of a workspace",
    "builder.verify": "load what was built, as the server will",
    "builder.deps": "build the deps PEX of a project",
    "builder.source": "build the source PEX of a project",
    "builder.diff": "show what changed between two locks",
    "builder.packages": "build the packages of a repository, and their images",
    "builder.selftest": "check that this builder works here",
    "dagster": "dagster's command line",
    "dagster_cloud_cli.entrypoint": "the command line of Dagster Cloud",
}


class _Overview(click.Command):
    """A command whose help lists the modules instead of the options."""

    def format_options(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Modules"):
            formatter.write_dl(list(_DOORS.items()))


@click.command(cls=_Overview, epilog="Each has --help.")
@click.version_option(__version__, prog_name="builder", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Build PEX files from Dagster projects: `builder.pex -m MODULE`, with one of the modules below."""
    console.result(context.get_help())


if __name__ == "__main__":
    run_door(main, "builder")
