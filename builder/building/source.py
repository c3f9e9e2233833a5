"""What `builder.source` does: building the source PEX of one project, without its deps PEX."""

from __future__ import annotations

from pathlib import Path

from builder.building.contents_table import show_contents
from builder.building.steps import build_source, read_project
from builder.building.target import projects_target
from builder.project.location import SourceTree
from builder.project.requirements import RequestedExtras
from builder.resolution.backend import LocalPackages
from builder.resolution.resolve import local_packages
from builder.resolution.target import chosen_target
from builder.terminal import values
from builder.terminal.console import console
from builder.terminal.formatting import quoted, size


def build_source_pex(
    project_dir: Path,
    out_dir: Path,
    *,
    include: tuple[str, ...],
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
    report: bool,
) -> None:
    """Write source-HASH.pex into `out_dir`, and show what is in it."""
    project = values.project_directory(project_dir)
    out = values.output_directory(out_dir)
    target = chosen_target(python_version, platform) or projects_target([SourceTree(project, project)])
    own = LocalPackages(target.python_version, out)
    requirements = read_project(project, target, own.metadata_of_wheel, RequestedExtras(extras, groups))
    packages = local_packages(requirements, target)
    built = build_source(SourceTree(project, project), packages, own, target, out, include=include)
    names = quoted(built.installed)
    what = f"{built.files} files" + (f"; installed: {names}" if names else "")
    console.table(["file", ">size", "what is in it"], [[built.artefact.name, size(built.artefact.size), what]])
    show_contents([], [built], full=report)
