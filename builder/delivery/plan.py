"""`builder.deploy --plan`: what a run would do, without building, uploading or updating anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from builder import __version__
from builder.assembly.deps_pex import LAYOUT_VERSION
from builder.assembly.source_pex import SourceEntry, packed_size
from builder.assembly.source_tree import ROOT
from builder.building.build_json import described_error
from builder.building.steps import read_project, resolve_project, select_source, show_selection_notices
from builder.delivery.job import Job, show_errors
from builder.deployment.dependency_changes import dependency_changes
from builder.errors import BuilderError
from builder.project.lifecycle import refuse_scripts
from builder.project.location import Location, SourceTree
from builder.resolution.backend import LocalPackages
from builder.resolution.lock import Lock
from builder.resolution.resolve import local_packages
from builder.resolution.store import store_path
from builder.terminal.console import console
from builder.terminal.formatting import size

if TYPE_CHECKING:
    from builder.delivery.updater import Updater
    from builder.delivery.uploader import Uploader

_LISTED = 10
"""Changes that are shown of each location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """What is known of a source tree before it is built.

    :param deps: the name that the deps PEX will have.
    :param files: how many of the project's files the source PEX will hold.
    :param size: about that of the source PEX, in bytes, without what is installed of the local packages.
    :param packages: the directories of the local packages, which are built and installed.
    """

    lock: Lock
    deps: str
    files: int
    size: int
    packages: tuple[Path, ...]

    @property
    def from_source(self) -> list[str]:
        """The distributions that are built from their source, unless that was done before."""
        return [f"{dist.name} {dist.version}".strip() for dist in self.lock.distributions if dist.kind != "wheel"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a run would do for a location.

    :param size: in bytes; None if it is not known.
    :param exact: whether that is certain.
    """

    what: str
    size: int | None
    does: str
    exact: bool = False


@dataclass(slots=True)
class Plan:
    """What a run would do, as `builder/schemas/plan.schema.json` has it, and what would keep it from doing so."""

    document: dict[str, object]
    errors: dict[str, BuilderError]


ImageSteps = Callable[[Location, "Lock"], Sequence[Step]]
"""The steps for what is below the code of a location that becomes an image."""


def plan(
    job: Job,
    uploader: Uploader | None = None,
    updater: Updater | None = None,
    images: Mapping[str, ImageSteps] = MappingProxyType({}),
    *,
    as_json: bool = False,
) -> Plan:
    """Find out what a run would do, and show it unless it is to be JSON.

    :param images: by the names of the locations that become images, what plans that which is below their code.
    """
    planned = _projects(job, images)
    outcomes = {location.name: location.problem or planned[location.tree] for location in job.workspace.locations}
    buildable = {
        location.name: (location, project)
        for location in job.workspace.locations
        if isinstance(project := outcomes[location.name], _Planned)
    }
    pex = [pair for name, pair in buildable.items() if name not in images]
    names = list(dict.fromkeys(project.deps for _, project in pex))
    there = uploader.sizes(names) if uploader and names else {}
    steps = {
        name: [
            *(
                images[name](location, project.lock)
                if name in images
                else [_deps_step(project, job.out_dir, there, uploader)]
            ),
            *_source_steps(project, image=name in images, uploads=uploader is not None),
            *([Step("location", None, updater.intention(name))] if updater else []),
        ]
        for name, (location, project) in buildable.items()
    }
    if not as_json:
        _show(job, updater, steps)
        if uploader and updater:
            for location, project in pex:
                _show_changes(location, project, uploader, updater)
    document: dict[str, object] = {
        "deployment": updater.planned_deployment if updater else None,
        "target": job.target.description,
        "python_version": job.target.python_version,
        "locations": [_described(name, outcome, steps.get(name, ())) for name, outcome in outcomes.items()],
    }
    return Plan(
        document, {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, BuilderError)}
    )


def show_plans(plans: Sequence[Plan], *, as_json: bool) -> int:
    """Print plans, one for plan_ target, as JSON if that is asked for, and their errors; returns the exit code."""
    if as_json:
        document = {"builder_version": __version__, "plans": [plan_.document for plan_ in plans]}
        console.result(json.dumps(document, indent=2, ensure_ascii=False))
    return show_errors({name: error for plan_ in plans for name, error in plan_.errors.items()})


def _show(job: Job, updater: Updater | None, steps: Mapping[str, Sequence[Step]]) -> None:
    if updater:
        console.result(f"deployment: {updater.planned}")
    console.result(f"target: {job.target.description}")
    rows = [
        ["" if index else name, step.what, _about(step), step.does]
        for name, planned in steps.items()
        for index, step in enumerate(planned)
    ]
    if rows:
        console.result("")
        console.table(["location", "what", ">size", "what would be done"], rows)


def _described(name: str, outcome: _Planned | BuilderError, steps: Sequence[Step]) -> dict[str, object]:
    if isinstance(outcome, BuilderError):
        return {"name": name, "error": described_error(outcome)}
    return {
        "name": name,
        "built_from_source": outcome.from_source,
        "local_packages": [str(path) for path in outcome.packages],
        "distributions": len(outcome.lock.distributions),
        "files": outcome.files,
        "steps": [asdict(step) for step in steps],
    }


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
    files = [file for selection in source.selections for file in selection.files]
    size_of_all = packed_size(
        SourceEntry(f"{ROOT}/{file.name}", file.mode, file.path) for file in files if file.path and not file.link
    )
    deps = f"deps-{lock.identity(LAYOUT_VERSION)}.pex"
    return _Planned(
        lock=lock, deps=deps, files=len(files), size=size_of_all, packages=local_packages(requirements, job.target)
    )


def _deps_step(
    project: _Planned, out_dir: Path, there: Mapping[str, int | None], uploader: Uploader | None
) -> Step:
    in_registry = there.get(project.deps)
    done = []
    if uploader and uploader.record(project.lock):
        done.append("cached: neither built nor sent")
    else:
        done.append(
            "built again, as it was" if (out_dir / project.deps).exists() else f"built{_to_fetch(project.lock)}"
        )
        if project.from_source:
            done.append(f"from source: {', '.join(project.from_source)}")
        if uploader:
            done.append("not sent, it is there" if in_registry is not None else "sent")
    sizes = [dist.size for dist in project.lock.distributions]
    estimate = in_registry or (sum(filter(None, sizes)) if any(sizes) else None)
    does = f"{len(sizes)} distributions: {', '.join(done)}"
    return Step(project.deps, estimate, does, exact=in_registry is not None)


def _source_steps(project: _Planned, *, image: bool, uploads: bool) -> Iterator[Step]:
    built = "built, and sent unless it is there" if uploads else "built"
    if project.packages:
        names = ", ".join(path.name for path in project.packages)
        built = f"{built}; local packages, built and installed: {names}"
    size_of_all = project.size - packed_size(()) if image else project.size
    yield Step("source layer" if image else "source PEX", size_of_all, f"{project.files} files: {built}")


def _to_fetch(lock: Lock) -> str:
    missing = [dist for dist in lock.distributions if dist.kind != "git" and not store_path(dist).exists()]
    if not missing:
        return ", all of it is in the wheel store"
    known = sum(dist.size or 0 for dist in missing)
    return f", {len(missing)} to fetch" + (f" ({size(known)})" if known else "")


def _about(step: Step) -> str:
    if step.size is None:
        return ""
    return size(step.size) if step.exact else f"~{size(step.size)}"


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
