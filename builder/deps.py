"""`python -m builder.deps PROJECT_DIR OUT_DIR`: everything that a project needs, as `deps-HASH.pex`."""

from __future__ import annotations

from pathlib import Path

import click

from builder import door
from builder.command_line import DoorCommand
from builder.console import console
from builder.report import show_contents
from builder.running import run_door, verbosity_options
from builder.steps import build_deps, read_project, resolve_project


@click.command(
    cls=DoorCommand,
    short_help="Build the deps PEX of a project.",
    examples=("builder.deps . out", "builder.deps . out --extra aws --python-version 3.12 --report"),
)
@door.project_argument
@door.out_argument
@door.wanted_options
@door.target_options
@door.report_option
@verbosity_options
def main(
    project_dir: Path,
    out_dir: Path,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
    *,
    report: bool,
) -> None:
    """Write deps-HASH.pex, with everything that the project in PROJECT_DIR needs and nothing of the project.

    Beside it, deps-HASH.pylock.toml says what is in it, and so does deps-HASH.cdx.json, a CycloneDX document with
    licences. HASH is the identity of the lock.
    """
    from builder.project.requirements import Wanted  # noqa: PLC0415  (start-up time)
    from builder.resolution.backend import LocalPackage, local_metadata  # noqa: PLC0415  (start-up time)

    project = door.project_directory(project_dir)
    out = door.output_directory(out_dir)
    target = door.read_target_options(python_version, platform)
    requirements = read_project(
        project,
        target,
        lambda directory: local_metadata(LocalPackage(directory, target.python_version, out)),
        Wanted(extras, groups),
    )
    lock, _step = resolve_project(requirements, target)
    built = build_deps(lock, requirements, out)
    unpacked = door.size(built.unpacked_size or 0)
    console.table(
        ["file", ">size", "what is in it"],
        [
            [
                built.name,
                door.size(built.size),
                f"{len(built.versions)} distributions for {target.description}, {unpacked} unpacked",
            ],
            [
                built.lock.name,
                door.size(built.lock.stat().st_size),
                f"the lock, with dagster {built.dagster_version}",
            ],
            *(
                [path.name, door.size(path.stat().st_size), "what is in it, as CycloneDX"]
                for path in (built.sbom,)
                if path
            ),
        ],
    )
    show_contents([built], [], full=report)


if __name__ == "__main__":
    run_door(main, "builder.deps")
