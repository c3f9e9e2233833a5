"""`python -m builder.deploy WORKSPACE OUT_DIR`: both PEX files of every location of a workspace."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from builder import __version__, door
from builder.console import console, run_door, verbose_option
from builder.errors import BuilderError
from builder.steps import (
    DepsBuild,
    SourceBuild,
    build_deps,
    build_source,
    metadata_of,
    read_project,
    resolve_project,
)

if TYPE_CHECKING:
    from builder.project.location import Location, SourceTree, Workspace
    from builder.project.requirements import Wanted
    from builder.resolution.target import Target
    from builder.storage import Artefact

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
        """What Dagster Cloud is told to run: one deps PEX and one source PEX."""
        return f"files={self.deps.artefact.name}:{self.source.artefact.name}"


@dataclass(slots=True)
class _WorkspaceBuild:
    """The work on one workspace: what its projects share."""

    target: Target
    out_dir: Path
    include: Sequence[str]
    wanted: Wanted
    several: bool
    sources: ThreadPoolExecutor
    _deps: dict[str, Future[DepsBuild]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, tree: SourceTree, name: str) -> ProjectBuild:
        """Build one project; the source PEX is packed while the requirements are resolved."""
        from builder.assembly.deps_pex import LAYOUT_VERSION  # noqa: PLC0415  (start-up time)
        from builder.resolution.resolve import local_packages  # noqa: PLC0415  (start-up time)

        about = f"{name}: " if self.several else ""
        requirements = read_project(
            tree.project, self.target, lambda package: metadata_of(package, self.target, self.out_dir), self.wanted
        )
        packages = local_packages(requirements)
        source = self.sources.submit(
            build_source, tree, packages, self.target, self.out_dir, include=self.include, about=about
        )
        try:
            lock, step = resolve_project(requirements, self.target, about=about)
            deps = self._once(lock.identity(LAYOUT_VERSION), lambda: build_deps(lock, self.out_dir, about=about))
        finally:
            # Nothing of a project is at work any more when its outcome is known, whichever part failed first.
            wait([source])
        built = source.result()
        return ProjectBuild(deps, built, {"resolve": step.seconds, **deps.seconds, **built.seconds})

    def _once(self, key: str, make: Callable[[], DepsBuild]) -> DepsBuild:
        """What `make` returns, made once for each key: projects with equal locks share one deps PEX."""
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
    workspace: Workspace, target: Target, out_dir: Path, *, include: Sequence[str], wanted: Wanted
) -> dict[SourceTree, ProjectBuild | BuilderError]:
    """Build every source tree of a workspace in parallel.

    Locations of one tree are built once. A project that fails does not stop the others: its error is in the
    result.
    """
    names = {location.tree: location.name for location in reversed(workspace.locations)}
    with ThreadPoolExecutor(_PARALLEL) as pool, ThreadPoolExecutor(_PARALLEL) as sources:
        work = _WorkspaceBuild(target, out_dir, include, wanted, len(names) > 1, sources)
        warming = pool.submit(_warm_up)
        futures = {tree: pool.submit(work.build, tree, name) for tree, name in names.items()}
        try:
            results = {tree: _outcome(future) for tree, future in futures.items()}
            warming.result()
        except BaseException:
            # Stopped, or a defect: start nothing more, wait only for what runs.
            pool.shutdown(wait=False, cancel_futures=True)
            sources.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _outcome(future: Future[ProjectBuild]) -> ProjectBuild | BuilderError:
    try:
        return future.result()
    except BuilderError as error:
        return error


def _warm_up() -> None:
    """Do what every assembly needs and nothing waits for yet."""
    from builder.assembly.bootstrap import bootstrap  # noqa: PLC0415  (start-up time)

    bootstrap()


def _report(
    workspace: Workspace, results: dict[SourceTree, ProjectBuild | BuilderError], target: Target
) -> dict[str, object]:
    """The content of build.json."""
    return {
        "builder_version": __version__,
        "workspace": str(workspace.path),
        "python_version": target.python_version,
        "platform": target.description,
        "locations": [_location_report(location, results[location.tree]) for location in workspace.locations],
    }


def _location_report(location: Location, result: ProjectBuild | BuilderError) -> dict[str, object]:
    directory, project = location.tree
    head: dict[str, object] = {"name": location.name, "directory": str(directory), "project": str(project)}
    if isinstance(result, BuilderError):
        where = str(result.where) if result.where else None
        return {**head, "error": {"what": result.what, "where": where, "remedy": result.remedy}}
    return {
        **head,
        "pex_tag": result.pex_tag,
        "deps": {**_artefact_report(result.deps.artefact), "distributions": result.deps.distributions},
        "source": {**_artefact_report(result.source.artefact), "files": result.source.files},
        "lock": result.deps.lock.name,
        "dagster_version": result.deps.dagster_version,
        "seconds": {step: round(seconds, 3) for step, seconds in result.seconds.items()},
    }


def _artefact_report(artefact: Artefact) -> dict[str, object]:
    return {
        "file": artefact.name,
        "size": artefact.size,
        "sha256": artefact.sha256,
        "identity": artefact.identity,
    }


def _show(workspace: Workspace, results: dict[SourceTree, ProjectBuild | BuilderError]) -> None:
    rows = []
    for location in workspace.locations:
        result = results[location.tree]
        if isinstance(result, ProjectBuild):
            deps, source = result.deps, result.source
            contents = f"{deps.distributions} distributions, dagster {deps.dagster_version}"
            rows.append([location.name, deps.artefact.name, door.size(deps.artefact.size), contents])
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
@verbose_option
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
        stream.write(json.dumps(_report(chosen, results, target), indent=2, ensure_ascii=False).encode() + b"\n")
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
