"""`python -m builder.source PROJECT_DIR OUT_DIR`: the user's own code, as `source-HASH.pex`."""

from __future__ import annotations

from pathlib import Path

import click

from builder.building.contents_table import show_contents
from builder.building.steps import build_source, metadata_of, read_project
from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.console import console
from builder.terminal.formatting import size
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
    from builder.project.location import SourceTree  # noqa: PLC0415  (start-up time)
    from builder.project.requirements import Wanted  # noqa: PLC0415  (start-up time)
    from builder.resolution.resolve import local_packages  # noqa: PLC0415  (start-up time)

    project = options.project_directory(project_dir)
    out = options.output_directory(out_dir)
    target = options.read_target_options(python_version, platform)
    requirements = read_project(
        project, target, lambda directory: metadata_of(directory, target, out), Wanted(extras, groups)
    )
    packages = local_packages(requirements)
    built = build_source(SourceTree(project, project), packages, target, out, include=include)
    names = ", ".join(f"`{directory.name}`" for directory in built.packages)
    what = f"{built.files} files" + (f"; installed: {names}" if names else "")
    console.table(["file", ">size", "what is in it"], [[built.artefact.name, size(built.artefact.size), what]])
    show_contents([], [built], full=report)


if __name__ == "__main__":
    run_command(main, "builder.source")
