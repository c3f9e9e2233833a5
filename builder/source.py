"""`python -m builder.source PROJECT_DIR OUT_DIR`: the user's own code, as `source-HASH.pex`."""

from __future__ import annotations

from pathlib import Path

import click

from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
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
def main(
    project_dir: Path,
    out_dir: Path,
    include: tuple[str, ...],
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
    *,
    report: bool,
) -> None:
    """Write source-HASH.pex, with the code in PROJECT_DIR and the local packages that it names."""
    from builder.building.source import build_source_pex  # noqa: PLC0415  (help needs nothing of it)

    build_source_pex(
        project_dir,
        out_dir,
        include=include,
        extras=extras,
        groups=groups,
        python_version=python_version,
        platform=platform,
        report=report,
    )


if __name__ == "__main__":
    run_command(main, "builder.source")
