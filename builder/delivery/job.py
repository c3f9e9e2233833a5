"""What a run of `builder.deploy` has to do, and the steps that it takes with and without Dagster Cloud."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.building.build_json import build_report
from builder.building.contents_table import show_contents
from builder.building.workspace import FindDeps, ProjectBuild, build_workspace
from builder.delivery.location_run import LocationRun
from builder.errors import BuilderError
from builder.project.location import Workspace
from builder.project.requirements import RequestedExtras
from builder.resolution.target import Target
from builder.system.storage import atomic_write
from builder.terminal.console import console
from builder.terminal.formatting import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a run builds.

    :param include: patterns of files to pack although they are left out otherwise.
    :param report: whether to list all that is packed.
    """

    workspace: Workspace
    target: Target
    out_dir: Path
    include: Sequence[str]
    wanted: RequestedExtras
    report: bool

    @property
    def build_json(self) -> Path:
        """Where the report goes."""
        return self.out_dir / "build.json"


def build_locations(job: Job, runs: Sequence[LocationRun], find_deps: FindDeps = lambda _: None) -> None:
    """Build what all locations need, and write build.json; a failure is that of its location.

    :param find_deps: see `build_workspace`.
    """
    with console.phase("Build"):
        results = build_workspace(
            job.workspace,
            job.target,
            job.out_dir,
            include=job.include,
            wanted=job.wanted,
            find_deps=find_deps,
        )
    for run in runs:
        result = run.location.problem or results[run.location.tree]
        if isinstance(result, ProjectBuild):
            run.build = result
        else:
            run.error = result
    write_report(job, runs)


def write_report(job: Job, runs: Sequence[LocationRun]) -> None:
    """Write build.json: what was built for which location."""
    results = {run.name: result for run in runs if (result := run.build or run.error)}
    report = build_report(job.workspace, results, job.target)
    with atomic_write(job.build_json) as stream:
        stream.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")


def show_built(runs: Sequence[LocationRun], *, report: bool) -> None:
    """Show a table of the files that were built."""
    rows = []
    for run in runs:
        if run.build:
            deps, source = run.build.deps, run.build.source
            contents = f"{len(deps.versions)} distributions, dagster {deps.dagster_version}"
            rows.append([run.name, deps.name, size(deps.size), contents])
            packages = ", ".join(directory.name for directory in source.packages)
            contents = f"{source.files} files" + (f"; installed: {packages}" if packages else "")
            rows.append(["", source.artefact.name, size(source.artefact.size), contents])
    if rows:
        console.note("")
        console.table(["location", "file", ">size", "what is in it"], rows)
        built = [run.build for run in runs if run.build]
        show_contents([build.deps for build in built], [build.source for build in built], full=report)


def show_errors(failed: Mapping[str, BuilderError]) -> int:
    """Show the errors of locations, one that several share only once; returns the exit code."""
    errors: dict[int, tuple[BuilderError, list[str]]] = {}
    for name, failure in failed.items():
        errors.setdefault(id(failure), (failure, []))[1].append(f"`{name}`")
    for error, names in errors.values():
        console.note("")
        console.error(error, about=f"location{'s' if len(names) > 1 else ''} {', '.join(names)}")
    return 1 if errors else 0
