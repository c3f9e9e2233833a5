"""Building all projects of a workspace in parallel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from builder.assembly.deps_pex import LAYOUT_VERSION
from builder.assembly.import_clashes import import_clashes
from builder.assembly.size_warnings import installed_twice
from builder.assembly.source_pex import bootstrap_members
from builder.building.shared_resolutions import SharedResolutions
from builder.building.steps import (
    DepsBuild,
    SourceBuild,
    build_deps,
    build_source,
    fetch_uv,
    read_project,
    resolve_project,
)
from builder.cache.entries import prune_when_due
from builder.errors import BuilderError
from builder.project.location import Location, SourceTree, Workspace
from builder.project.requirements import RequestedExtras, Requirements
from builder.resolution.backend import LocalPackages
from builder.resolution.lock import Lock
from builder.resolution.resolve import local_packages
from builder.resolution.target import Target
from builder.terminal.console import console

FindDeps = Callable[["Lock"], DepsBuild | None]
"""Looks for a deps PEX of a lock that exists already, so that it need not be built."""

_PARALLEL: Final = 4
"""Projects worked on at once; each step is parallel in itself."""


@dataclass(frozen=True, slots=True)
class ProjectBuild:
    """Both artefacts of a source tree.

    :param seconds: by step.
    """

    deps: DepsBuild
    source: SourceBuild
    seconds: dict[str, float]

    @property
    def pex_tag(self) -> str:
        """The pex tag that Dagster Cloud runs: one deps PEX and one source PEX."""
        return f"files={self.deps.name}:{self.source.artefact.name}"


class Packing(Protocol):
    """The output format of a build: PEX files, or the layers of an image."""

    @property
    def target(self) -> Target:
        """What the project is built for."""

    @property
    def out_dir(self) -> Path:
        """Where the files go."""

    def identity(self, lock: Lock) -> str:
        """What the dependencies of a lock are known by: equal identities are built once."""

    def deps(self, lock: Lock, requirements: Requirements, about: str) -> DepsBuild:
        """Build the dependencies, showing the steps; `about` names them among others."""

    def source(
        self, tree: SourceTree, packages: Sequence[Path], own: LocalPackages, include: Sequence[str], about: str
    ) -> SourceBuild:
        """Install the local packages and pack the files, showing the step."""

    def place(self, name: str) -> str:
        """The name that a file of `SourceBuild.contents` has in a source PEX."""

    def warm_up(self) -> None:
        """Load what every assembly needs, while nothing waits for it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PexPacking:
    """A deps PEX and a source PEX.

    :param find_deps: asked before each deps PEX is built; what it returns is taken instead.
    :param deps_ready: called with each deps PEX, as soon as it is whole, from several threads.
    :param may_write: called before anything is written, from several threads; returns when that is allowed, and
        raises what forbids it.
    """

    target: Target
    out_dir: Path
    find_deps: FindDeps = lambda _: None
    deps_ready: Callable[[DepsBuild], None] = lambda _: None
    may_write: Callable[[], None] = lambda: None

    def identity(self, lock: Lock) -> str:
        """See `Packing`."""
        return lock.identity(LAYOUT_VERSION)

    def deps(self, lock: Lock, requirements: Requirements, about: str) -> DepsBuild:
        """See `Packing`."""
        self.may_write()
        deps = self.find_deps(lock) or build_deps(lock, requirements, self.out_dir, about=about)
        self.deps_ready(deps)
        return deps

    def source(
        self, tree: SourceTree, packages: Sequence[Path], own: LocalPackages, include: Sequence[str], about: str
    ) -> SourceBuild:
        """See `Packing`."""
        return build_source(
            tree,
            packages,
            own,
            self.target,
            self.out_dir,
            include=include,
            about=about,
            may_write=self.may_write,
        )

    def place(self, name: str) -> str:
        """See `Packing`."""
        return name

    def warm_up(self) -> None:
        """See `Packing`."""
        bootstrap_members()


Ready = Callable[[SourceTree, ProjectBuild | BuilderError], None]
"""Called with a source tree and its build, or its error."""


@dataclass(slots=True, kw_only=True)
class _WorkspaceBuild:
    """The build of one workspace, with what its projects share."""

    packing: Packing
    include: Sequence[str]
    wanted: RequestedExtras
    several: bool
    own: LocalPackages
    working_directories: Mapping[SourceTree, Collection[str]]
    sources: ThreadPoolExecutor
    ready: Ready
    resolutions: SharedResolutions
    _deps: dict[str, Future[DepsBuild]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, tree: SourceTree, name: str) -> ProjectBuild:
        """Build one project; its files are packed while the requirements are resolved."""
        about = f"{name}: " if self.several else ""
        packing = self.packing
        requirements = read_project(tree.project, packing.target, self.own.metadata_of_wheel, self.wanted)
        packages = local_packages(requirements, packing.target)
        source = self.sources.submit(packing.source, tree, packages, self.own, self.include, about)
        try:
            lock, step, leader = self.resolutions.resolve(requirements, about)
            deps = self._deps_of(lock, requirements, about)
            if not self.resolutions.fits(requirements, leader, deps):
                lock, step = resolve_project(requirements, packing.target, about=about)
                deps = self._deps_of(lock, requirements, about)
        finally:
            # No part of a project may still run when its result is known, whichever part failed first.
            wait([source])
        built = source.result()
        console.notices(installed_twice(built.contents, deps.versions))
        names = [packing.place(file.name) for file in built.contents]
        console.notices(import_clashes(names, deps.distributions, self.working_directories[tree]))
        prune_when_due()
        return ProjectBuild(deps, built, {"resolve": step.seconds, **deps.seconds, **built.seconds})

    def outcome(self, tree: SourceTree, name: str) -> ProjectBuild | BuilderError:
        """Build one project; returns its build or its error."""
        try:
            result: ProjectBuild | BuilderError = self.build(tree, name)
        except BuilderError as error:
            result = error
        self.ready(tree, result)
        return result

    def _deps_of(self, lock: Lock, requirements: Requirements, about: str) -> DepsBuild:
        return self._once(self.packing.identity(lock), lambda: self.packing.deps(lock, requirements, about))

    def _once(self, key: str, make: Callable[[], DepsBuild]) -> DepsBuild:
        """What `make` returns, made once for each key: projects with equal locks share their dependencies."""
        with self._lock:
            future = self._deps.get(key)
            mine = future is None
            if future is None:
                future = self._deps[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()


def build_workspace(
    workspace: Workspace,
    packing: Packing,
    *,
    include: Sequence[str],
    wanted: RequestedExtras,
    ready: Ready = lambda _tree, _result: None,
) -> dict[SourceTree, ProjectBuild | BuilderError]:
    """Build every source tree of a workspace in parallel.

    :param ready: called with each source tree as soon as it is built or has failed, from several threads.

    Locations of one tree are built once, those with a problem are left out. A project that fails does not stop
    the others: its error is in the result.
    """
    own = LocalPackages(packing.target.python_version, packing.out_dir)
    usable = [location for location in workspace.locations if location.problem is None]
    names = {location.tree: location.name for location in reversed(usable)}
    with ThreadPoolExecutor(_PARALLEL) as pool, ThreadPoolExecutor(_PARALLEL) as sources:
        work = _WorkspaceBuild(
            packing=packing,
            include=include,
            wanted=wanted,
            several=len(names) > 1,
            own=own,
            working_directories=_working_directories(usable),
            sources=sources,
            ready=ready,
            resolutions=SharedResolutions(packing.target),
        )
        # Nothing waits for uv before the project and its Python are known.
        pool.submit(fetch_uv, [tree.project for tree in names])
        # Every assembly needs it, so load it while the requirements are resolved.
        warming = pool.submit(packing.warm_up)
        own.build_together({tree.project for tree in names}, pool)
        futures = {tree: pool.submit(work.outcome, tree, name) for tree, name in names.items()}
        try:
            results = {tree: future.result() for tree, future in futures.items()}
            warming.result()
        except BaseException:
            # Stopped, or a defect: start nothing more, wait only for what runs.
            pool.shutdown(wait=False, cancel_futures=True)
            sources.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _working_directories(locations: Iterable[Location]) -> dict[SourceTree, set[str]]:
    """Those of the code of each source tree, relative to its build directory."""
    names_by_tree: dict[SourceTree, set[str]] = {}
    for location in locations:
        declared = location.settings.get("working_directory")
        names_by_tree.setdefault(location.tree, set()).add(declared if isinstance(declared, str) else ".")
    return names_by_tree
