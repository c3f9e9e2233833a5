"""What a run of `builder.deploy` has to do, and the steps that it takes with and without Dagster Cloud."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from builder.building.build_json import build_report
from builder.building.code_source_check import missing_module
from builder.building.contents_table import show_contents
from builder.building.image_settings import ImageSettings
from builder.building.steps import DepsBuild
from builder.building.workspace import FindDeps, PexPacking, ProjectBuild, build_workspace
from builder.delivery.location_run import Format, LocationRun
from builder.errors import BuilderError
from builder.project.location import Location, SourceTree, Workspace
from builder.project.requirements import RequestedExtras
from builder.resolution.target import Target
from builder.system.storage import atomic_write
from builder.terminal.console import console
from builder.terminal.formatting import size

Asked = Literal["auto", "pex", "image"]
"""What locations are to become: PEX files, images, or images where the deployment or the location needs one."""


class OnlyImages(BuilderError):
    """The deployment takes no PEX files, so that images are to be built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a run builds.

    :param targets: several only for images, of which each location then has one index.
    :param include: patterns of files to pack although they are left out otherwise.
    :param report: whether to list all that is packed.
    :param asked: what the locations are to become.
    :param images: how those are built that become images.
    """

    workspace: Workspace
    targets: tuple[Target, ...]
    out_dir: Path
    include: Sequence[str]
    wanted: RequestedExtras
    report: bool
    asked: Asked = "auto"
    images: ImageSettings = field(default_factory=ImageSettings)

    @property
    def target(self) -> Target:
        """The one that this machine can load, or the first."""
        here = platform.machine()
        return next((one for one in self.targets if one.markers["platform_machine"] == here), self.targets[0])

    def format_of(self, location: Location, *, takes_pex: bool) -> Format:
        """What a location becomes.

        :param takes_pex: whether the deployment runs PEX files.
        """
        if self.asked != "auto":
            return self.asked
        return "pex" if takes_pex and location.registry is None else "image"

    @property
    def checkout(self) -> Path:
        """A directory in the checkout that is deployed: of what another run built, the current one."""
        path = self.workspace.path
        return Path.cwd() if path == self.build_json else path.parent

    @property
    def build_json(self) -> Path:
        """Where the report goes."""
        return self.out_dir / "build.json"


def build_locations(
    job: Job,
    runs: Sequence[LocationRun],
    find_deps: FindDeps = lambda _: None,
    build_images: Callable[[Job, Sequence[LocationRun]], None] = lambda _job, _runs: None,
    *,
    deps_ready: Callable[[DepsBuild], None] = lambda _: None,
    ready: Callable[[Sequence[LocationRun]], None] = lambda _: None,
    may_write: Callable[[], None] = lambda: None,
) -> None:
    """Build what all locations need, and write build.json; a failure is that of its location.

    :param find_deps: see `PexPacking`, as for `deps_ready`.
    :param build_images: builds those that become images; it is given where there are any.
    :param ready: called with locations that are built or have an error, some at a time, from several threads.
    :param may_write: see `PexPacking`; raises OnlyImages if all locations become images after all.
    """
    pex_files = [run for run in runs if run.format == "pex"]
    with console.phase("Build"):
        if pex_files:
            packing = PexPacking(
                target=job.target,
                out_dir=job.out_dir,
                find_deps=find_deps,
                deps_ready=deps_ready,
                may_write=may_write,
            )
            with contextlib.suppress(OnlyImages):
                _build_pex_files(job, pex_files, packing, ready)
        images = [run for run in runs if run.format == "image"]
        build_images(job, images)
        ready(images)
    write_report(job, runs)


def _build_pex_files(
    job: Job, runs: Sequence[LocationRun], packing: PexPacking, ready: Callable[[Sequence[LocationRun]], None]
) -> None:
    usable = [run for run in runs if run.location.problem is None]

    def note(tree: SourceTree, result: ProjectBuild | BuilderError) -> None:
        # What forbids all of it comes before what is wrong with one project.
        packing.may_write()
        built = [run for run in usable if run.location.tree == tree]
        for run in built:
            if isinstance(result, ProjectBuild):
                run.build = result
                # An error would be too much: loading it, which comes before an upload, has the last word.
                console.notices(missing_module(run.location, result))
            else:
                run.error = result
        ready(built)

    for run in runs:
        run.error = run.location.problem
    ready([run for run in runs if run.error])
    build_workspace(part_of(job, runs), packing, include=job.include, wanted=job.wanted, ready=note)


def write_report(job: Job, runs: Sequence[LocationRun]) -> None:
    """Write build.json: what was built for which location."""
    results = {run.name: result for run in runs if (result := run.build or run.error)}
    images = {run.name: run.image for run in runs if run.image}
    report = build_report(job.workspace, results, job.target, images)
    with atomic_write(job.build_json) as stream:
        stream.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")


def part_of(job: Job, runs: Sequence[LocationRun]) -> Workspace:
    """The workspace with some of its locations."""
    return replace(job.workspace, locations=tuple(run.location for run in runs))


def show_built(runs: Sequence[LocationRun], *, report: bool) -> None:
    """Show a table of the files that were built."""
    rows = [row for run in runs if run.build for row in _rows(run, run.build)]
    if rows:
        console.note("")
        console.table(["location", "file", ">size", "what is in it"], rows)
        built = [run.build for run in runs if run.build]
        show_contents([build.deps for build in built], [build.source for build in built], full=report)


def _rows(run: LocationRun, build: ProjectBuild) -> list[list[str]]:
    deps, source = build.deps, build.source
    deps_name, source_name = deps.name, source.artefact.name
    if run.image:
        deps_name, source_name = f"{len(deps.layers)} dependency layers", "source layer"
    installed = f"; installed: {', '.join(source.installed)}" if source.installed else ""
    versions = f"{len(deps.versions)} distributions, dagster {deps.dagster_version}"
    rows = [
        [run.name, deps_name, size(deps.size), versions],
        ["", source_name, size(source.artefact.size), f"{source.files} files{installed}"],
    ]
    if run.image:
        rows.append(["", run.image.layout.path.name, "", f"upon {run.image.base}: {run.image.digest}"])
    return rows


def show_errors(failed: Mapping[str, BuilderError]) -> int:
    """Show the errors of locations, one that several share only once; returns the exit code."""
    errors: dict[int, tuple[BuilderError, list[str]]] = {}
    for name, failure in failed.items():
        errors.setdefault(id(failure), (failure, []))[1].append(f"`{name}`")
    for error, names in errors.values():
        console.note("")
        console.error(error, about=f"location{'s' if len(names) > 1 else ''} {', '.join(names)}")
    return 1 if errors else 0
