"""What `builder.deps` does: building the deps PEX of one project, without its source PEX."""

from __future__ import annotations

from pathlib import Path

from builder.building.contents_table import show_contents
from builder.building.steps import build_deps, fetch_uv, read_project, resolve_project
from builder.building.target import projects_target
from builder.cache.entries import prune_when_due
from builder.project.location import SourceTree
from builder.project.requirements import RequestedExtras
from builder.resolution.backend import LocalPackages
from builder.resolution.target import chosen_target
from builder.terminal import values
from builder.terminal.console import console
from builder.terminal.formatting import size


def build_deps_pex(
    project_dir: Path,
    out_dir: Path,
    *,
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
    report: bool,
) -> None:
    """Write deps-HASH.pex into `out_dir`, with its lock and its SBOM, and show what is in it."""
    project = values.project_directory(project_dir)
    out = values.output_directory(out_dir)
    target = chosen_target(python_version, platform) or projects_target([SourceTree(project, project)])
    fetch_uv([project])
    requirements = read_project(
        project,
        target,
        LocalPackages(target.python_version, out).metadata,
        RequestedExtras(extras, groups),
    )
    lock, _step = resolve_project(requirements, target)
    built = build_deps(lock, requirements, out)
    prune_when_due()
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
