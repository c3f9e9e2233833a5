"""`python -m builder.deps PROJECT_DIR OUT_DIR`: everything that a project needs, as `deps-HASH.pex`."""

from __future__ import annotations

from pathlib import Path

import click

from builder.building.contents_table import show_contents
from builder.building.steps import build_deps, read_project, resolve_project
from builder.terminal import options
from builder.terminal.command_line import BuilderCommand
from builder.terminal.console import console
from builder.terminal.formatting import size
from builder.terminal.running import run_command, verbosity_options


@click.command(
    cls=BuilderCommand,
    short_help="Build the deps PEX of a project.",
    examples=("builder.deps . out", "builder.deps . out --extra aws --python-version 3.12 --report"),
)
@options.project_argument
@options.out_argument
@options.wanted_options
@options.target_options
@options.report_option
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

    project = options.project_directory(project_dir)
    out = options.output_directory(out_dir)
    target = options.read_target_options(python_version, platform)
    requirements = read_project(
        project,
        target,
        lambda directory: local_metadata(LocalPackage(directory, target.python_version, out)),
        Wanted(extras, groups),
    )
    lock, _step = resolve_project(requirements, target)
    built = build_deps(lock, requirements, out)
    unpacked = size(built.unpacked_size or 0)
    console.table(
        ["file", ">size", "what is in it"],
        [
            [
                built.name,
                size(built.size),
                f"{len(built.versions)} distributions for {target.description}, {unpacked} unpacked",
            ],
            [
                built.lock.name,
                size(built.lock.stat().st_size),
                f"the lock, with dagster {built.dagster_version}",
            ],
            *(
                [path.name, size(path.stat().st_size), "what is in it, as CycloneDX"]
                for path in (built.sbom,)
                if path
            ),
        ],
    )
    show_contents([built], [], full=report)


if __name__ == "__main__":
    run_command(main, "builder.deps")
