"""`python -m builder.source PROJECT_DIR OUT_DIR`: the user's own code, as `source-HASH.pex`."""

from __future__ import annotations

from pathlib import Path

import click

from builder import door
from builder.command_line import DoorCommand
from builder.console import console
from builder.report import show_contents
from builder.running import run_door, verbosity_options
from builder.steps import build_source, metadata_of, read_project


@click.command(
    cls=DoorCommand,
    short_help="Build the source PEX of a project.",
    examples=("builder.source . out", "builder.source . out --include data/model.bin --report"),
)
@door.project_argument
@door.out_argument
@door.include_option
@door.wanted_options
@door.target_options
@door.report_option
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

    project = door.project_directory(project_dir)
    out = door.output_directory(out_dir)
    target = door.read_target_options(python_version, platform)
    requirements = read_project(
        project, target, lambda directory: metadata_of(directory, target, out), Wanted(extras, groups)
    )
    packages = local_packages(requirements)
    built = build_source(SourceTree(project, project), packages, target, out, include=include)
    names = ", ".join(f"`{directory.name}`" for directory in built.packages)
    what = f"{built.files} files" + (f"; installed: {names}" if names else "")
    console.table(
        ["file", ">size", "what is in it"], [[built.artefact.name, door.size(built.artefact.size), what]]
    )
    show_contents([], [built], full=report)


if __name__ == "__main__":
    run_door(main, "builder.source")
