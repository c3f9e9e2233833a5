"""`python -m builder.deploy WORKSPACE OUT_DIR`: both PEX files of every location of a workspace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import door
from builder.build_report import build_report
from builder.console import console
from builder.errors import BuilderError
from builder.running import run_door, verbosity_options
from builder.workspace_build import ProjectBuild, build_workspace

if TYPE_CHECKING:
    from builder.project.location import SourceTree, Workspace


def _show(workspace: Workspace, results: dict[SourceTree, ProjectBuild | BuilderError]) -> None:
    rows = []
    for location in workspace.locations:
        result = results[location.tree]
        if isinstance(result, ProjectBuild):
            deps, source = result.deps, result.source
            contents = f"{deps.distributions} distributions, dagster {deps.dagster_version}"
            rows.append([location.name, deps.name, door.size(deps.size), contents])
            packages = ", ".join(directory.name for directory in source.packages)
            contents = f"{source.files} files" + (f"; installed: {packages}" if packages else "")
            rows.append(["", source.artefact.name, door.size(source.artefact.size), contents])
    if rows:
        console.table(["location", "file", ">size", "what is in it"], rows)


def _choose(path: Path, names: Sequence[str]) -> Workspace:
    """The workspace with the locations to build, saying what the user should know of it."""
    from builder.project.workspace import read_workspace  # noqa: PLC0415  (start-up time)

    declared = read_workspace(path)
    workspace = declared.select(names)
    console.notices([*workspace.notices, *(notice for chosen in workspace.locations for notice in chosen.notices)])
    if not names:
        for location in declared.locations:
            if location not in workspace.locations:
                console.note(
                    f"skipped location `{location.name}`: it runs from a Docker image in `{location.registry}`;"
                    f" build it with --location '{location.name}'"
                )
    return workspace


@click.command(short_help="Build the locations of a workspace.")
@click.argument("workspace", type=click.Path(path_type=Path))
@door.out_argument
@click.option(
    "--location",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this location, whatever it runs from; may be repeated.",
)
@door.include_option
@door.wanted_options
@door.target_options
@verbosity_options
def main(
    workspace: Path,
    out_dir: Path,
    names: tuple[str, ...],
    include: tuple[str, ...],
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
) -> int:
    """Build the deps PEX and the source PEX of every location in WORKSPACE into OUT_DIR.

    WORKSPACE is a dagster_cloud.yaml, or a directory that has one, or a project or workspace of `dg`: its
    directory, dg.toml or pyproject.toml. A location with a `registry` runs from a Docker image, and is built only
    if --location names it.

    OUT_DIR/build.json says what was built: names, sizes, hashes and the pex tag of each location.

    \b
    Examples:
      builder.pex -m builder.deploy dagster_cloud.yaml out
      builder.pex -m builder.deploy . out
      builder.pex -m builder.deploy dagster_cloud.yaml out --location my-location --python-version 3.12
    """  # noqa: D301  (click's mark for text that it must not wrap)
    from builder.project.requirements import Wanted  # noqa: PLC0415  (start-up time)
    from builder.storage import atomic_write  # noqa: PLC0415  (start-up time)

    out = door.output_directory(out_dir)
    target = door.read_target_options(python_version, platform)
    chosen = _choose(workspace, names)
    results = build_workspace(chosen, target, out, include=include, wanted=Wanted(extras, groups))
    with atomic_write(out / "build.json") as stream:
        stream.write(
            json.dumps(build_report(chosen, results, target), indent=2, ensure_ascii=False).encode() + b"\n"
        )
    _show(chosen, results)
    failed = False
    for location in chosen.locations:
        result = results[location.tree]
        if isinstance(result, BuilderError):
            failed = True
            console.error(result, about=f"location `{location.name}`")
    return 1 if failed else 0


if __name__ == "__main__":
    run_door(main, "builder.deploy")
