"""`builder.deploy --plan`: what a run would do, without building, uploading or updating anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from builder.assembly.deps_pex import LAYOUT_VERSION
from builder.building.steps import read_project, resolve_project, select_source, show_selection_notices
from builder.delivery.job import Job
from builder.deployment.summary import dependency_changes
from builder.errors import BuilderError
from builder.project.lifecycle import refuse_scripts
from builder.project.location import Location, SourceTree
from builder.resolution.backend import LocalPackages
from builder.resolution.lock import Lock
from builder.resolution.store import store_path
from builder.terminal.console import console
from builder.terminal.formatting import size

if TYPE_CHECKING:
    from builder.delivery.updater import Updater
    from builder.delivery.uploader import Uploader

_LISTED = 10
"""Changes that are shown of each location."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is known of a source tree before it is built.

    :param deps: the name that the deps PEX will have.
    :param files: how many of the project's files the source PEX will hold.
    :param size: of these, in bytes, before they are compressed.
    """

    lock: Lock
    deps: str
    files: int
    size: int


ImageRows = Callable[[Location, "Lock"], list[list[str]]]
"""The rows for the dependencies of a location that becomes an image."""


def plan(
    job: Job,
    uploader: Uploader | None = None,
    updater: Updater | None = None,
    images: Mapping[str, ImageRows] = MappingProxyType({}),
) -> dict[str, BuilderError]:
    """Show what a run would do; returns by location what would keep it from doing so.

    :param images: by the names of the locations that become images, what plans their dependencies.
    """
    planned = _projects(job, images)
    buildable = [
        (location, project)
        for location in job.workspace.locations
        if isinstance(project := location.problem or planned[location.tree], _Planned)
    ]
    pex = [(location, project) for location, project in buildable if location.name not in images]
    names = list(dict.fromkeys(project.deps for _, project in pex))
    there = uploader.sizes(names) if uploader and names else {}
    if updater:
        console.result(f"deployment: {updater.planned}")
    console.result(f"target: {job.target.description}")
    rows = [
        row
        for location, project in buildable
        for row in (
            [
                *images[location.name](location, project.lock),
                *_source_rows(location, project, "source layer", uploads=uploader is not None, updater=updater),
            ]
            if location.name in images
            else _rows(location, project, job.out_dir, there, uploader, updater)
        )
    ]
    if rows:
        console.result("")
        console.table(["location", "what", ">size", "what would be done"], rows)
    if uploader and updater:
        for location, project in pex:
            _show_changes(location, project, uploader, updater)
    errors = {location.name: location.problem or planned[location.tree] for location in job.workspace.locations}
    return {name: error for name, error in errors.items() if isinstance(error, BuilderError)}


def _projects(job: Job, images: Collection[str]) -> dict[SourceTree, _Planned | BuilderError]:
    planned: dict[SourceTree, _Planned | BuilderError] = {}
    for location in job.workspace.locations:
        if location.problem is None and location.tree not in planned:
            about = f"{location.name}: " if len(job.workspace.locations) > 1 else ""
            try:
                if location.name in images:
                    refuse_scripts(location.tree)
                planned[location.tree] = _project(location.tree, job, about)
            except BuilderError as error:
                planned[location.tree] = error
    return planned


def _project(tree: SourceTree, job: Job, about: str) -> _Planned:
    requirements = read_project(
        tree.project,
        job.target,
        LocalPackages(job.target.python_version, job.out_dir).metadata,
        job.wanted,
    )
    lock, _step = resolve_project(requirements, job.target, about=about)
    source = select_source(tree, job.out_dir, job.include)
    show_selection_notices(source)
    files = [
        file for selection in source.selections for file in selection.files if file.path and file.link is None
    ]
    total = sum(file.path.stat().st_size for file in files if file.path)
    return _Planned(lock, f"deps-{lock.identity(LAYOUT_VERSION)}.pex", len(files), total)


def _rows(
    location: Location,
    project: _Planned,
    out_dir: Path,
    there: dict[str, int | None],
    uploader: Uploader | None,
    updater: Updater | None,
) -> list[list[str]]:
    in_registry = there.get(project.deps)
    done = []
    if uploader and uploader.record(project.lock):
        done.append("cached: neither built nor sent")
    else:
        done.append(
            "built again, as it was" if (out_dir / project.deps).exists() else f"built{_to_fetch(project.lock)}"
        )
        if uploader:
            done.append("not sent, it is there" if in_registry is not None else "sent")
    sizes = [dist.size for dist in project.lock.distributions]
    estimate = in_registry or (sum(filter(None, sizes)) if any(sizes) else None)
    what = f"{len(sizes)} distributions"
    return [
        [
            location.name,
            project.deps,
            _about(estimate, exact=in_registry is not None),
            f"{what}: {', '.join(done)}",
        ],
        *_source_rows(location, project, "source PEX", uploads=uploader is not None, updater=updater),
    ]


def _source_rows(
    location: Location, project: _Planned, what: str, *, uploads: bool, updater: Updater | None
) -> list[list[str]]:
    source = "built, and sent unless it is there" if uploads else "built"
    return [
        ["", what, _about(project.size, exact=False), f"{project.files} files: {source}"],
        *([["", "location", "", updater.intention(location.name)]] if updater else []),
    ]


def _to_fetch(lock: Lock) -> str:
    missing = [dist for dist in lock.distributions if dist.kind != "git" and not store_path(dist).exists()]
    if not missing:
        return ", all of it is in the wheel store"
    known = sum(dist.size or 0 for dist in missing)
    return f", {len(missing)} to fetch" + (f" ({size(known)})" if known else "")


def _about(count: int | None, *, exact: bool) -> str:
    if count is None:
        return ""
    return size(count) if exact else f"~{size(count)}"


def _show_changes(location: Location, project: _Planned, uploader: Uploader, updater: Updater) -> None:
    """Say how the dependencies differ from those that the location runs with now."""
    running = updater.running(location.name)
    lines: list[str] = []
    if not uploader.has(running, project.deps):
        before = uploader.distributions_before(running)
        if before is None:
            return
        old = {name: dist.size for name, dist in before.items()}
        new = {dist.name: dist.size for dist in project.lock.distributions}
        changes = dependency_changes({name: dist.version for name, dist in before.items()}, project.lock.versions)
        lines = [f"+ {name} {version}{_sizes(new.get(name))}" for name, version in changes.added]
        lines += [f"- {name} {version}{_sizes(old.get(name))}" for name, version in changes.removed]
        lines += [
            f"  {name} {was} → {now}{_sizes(old.get(name), new.get(name))}" for name, was, now in changes.changed
        ]
    console.result("")
    console.result(
        f"dependencies of `{location.name}` since its last deploy: {'' if lines else 'unchanged'}".rstrip()
    )
    for line in lines[:_LISTED]:
        console.result(f"  {line}")
    if len(lines) > _LISTED:
        console.result(f"  and {len(lines) - _LISTED} more")


def _sizes(*counts: int | None) -> str:
    known = [size(count) for count in counts if count is not None]
    return f" ({' → '.join(known)})" if len(known) == len(counts) else ""
