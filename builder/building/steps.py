"""The steps of a build, with their progress output: read, resolve, fetch, assemble, pack."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from builder.assembly.contents import PackedDistribution, PackedFile
from builder.assembly.deps_pex import LAYOUT_VERSION, Assembled, assemble_deps_pex
from builder.assembly.layer import Layer
from builder.assembly.sbom import sbom
from builder.assembly.size_warnings import cuda_libraries, large_files, own_tests, several_sdks
from builder.assembly.source_pex import assemble_source_pex
from builder.assembly.source_tree import ROOT, source_entries
from builder.assembly.wheels import WheelFile
from builder.errors import BuilderError, Notice
from builder.project.bounds import check_includes
from builder.project.dbt_manifest import missing_manifests
from builder.project.dg_name import named_config
from builder.project.external_files import ExternalPath, paths_named_outside, select_outside, split_include
from builder.project.files import Selection, select_files
from builder.project.incomplete_checkout import history_notices, pointer_notices, submodule_notices
from builder.project.lifecycle import lifecycle_notices
from builder.project.location import SourceTree
from builder.project.locks import find_lock
from builder.project.metadata import MetadataBuilder
from builder.project.names import required_name
from builder.project.requirements import RequestedExtras, Requirements, read_requirements
from builder.project.settings import read_settings
from builder.project.toml_file import TomlFile
from builder.resolution import uv
from builder.resolution.backend import LocalPackages
from builder.resolution.build_inputs import Inputs, inputs_of
from builder.resolution.lock import Lock
from builder.resolution.lock_warnings import importing_setuptools
from builder.resolution.resolve import resolve
from builder.resolution.store import StoredFile
from builder.resolution.target import Target
from builder.resolution.wheels import check_fits, fetch_wheels
from builder.system.storage import Artefact, atomic_write
from builder.terminal.console import Step, console


@dataclass(frozen=True, slots=True, kw_only=True)
class DepsBuild:
    """A deps PEX, or the dependency layers of an image, with its lock.

    :param name: the file name of the PEX, here and in the registry.
    :param size: in bytes.
    :param sha256: of its bytes, hexadecimal; None if only the registry has it, and does not know.
    :param identity: of the lock, hexadecimal.
    :param artefact: the file; None if the registry has it already, so that it was not built here.
    :param versions: of the distributions that the PEX holds, by project.
    :param dagster_version: of the `dagster` that runs the code; empty where dagster is a local package.
    :param seconds: by step.
    :param distributions: its contents; empty if it was not built here.
    :param sbom: its CycloneDX document, beside it; None if it was not built here.
    :param layers: of an image, instead of a PEX.
    """

    name: str
    size: int
    sha256: str | None
    identity: str
    artefact: Artefact | None
    lock: Path
    versions: Mapping[str, str]
    dagster_version: str
    seconds: dict[str, float]
    distributions: tuple[PackedDistribution, ...] = ()
    sbom: Path | None = None
    layers: tuple[Layer, ...] = ()

    @property
    def built(self) -> bool:
        """Whether it was built here, so that it is known what is in it."""
        return self.artefact is not None or bool(self.layers)

    @property
    def unpacked_size(self) -> int | None:
        """Bytes that it takes on the server's disk; None if it was not built here."""
        return sum(dist.unpacked for dist in self.distributions) if self.built else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBuild:
    """A source PEX, or the source layer of an image.

    :param files: how many of the project's files it holds.
    :param contents: every file in it, sorted by name.
    :param layer: of an image: what `artefact` is.
    :param installed: normalised names of the local packages in it.
    """

    artefact: Artefact
    files: int
    seconds: dict[str, float]
    contents: tuple[PackedFile, ...] = ()
    layer: Layer | None = None
    installed: tuple[str, ...] = ()

    @property
    def unpacked_size(self) -> int:
        """Bytes that it takes on the server's disk."""
        return sum(file.unpacked for file in self.contents)


def fetch_uv(projects: Iterable[Path]) -> None:
    """Fetch uv where it is not here yet and one of the projects is to be resolved, showing the step.

    A failure is ignored here: the step that needs uv reports it.
    """
    with contextlib.suppress(BuilderError):
        if uv.is_here() or not any(map(_needs_uv, projects)):
            return
        with console.step("") as step, console.progress("fetching uv", None):
            if uv.fetch():
                step.title = f"fetched uv {uv.pinned_version()}"


def _needs_uv(project: Path) -> bool:
    """Whether a project's dependencies are known only to uv: a pylock.toml is read without it."""
    lock = find_lock(project)
    return lock is None or lock.name != "pylock.toml"


def read_project(
    project: Path, target: Target, build_metadata: MetadataBuilder, asked: RequestedExtras | None = None
) -> Requirements:
    """Read the requirements of a project, and show its warnings.

    :param asked: extras and groups of the command line; those of `[tool.builder]` are added.
    """
    settings = read_settings(project)
    extras, groups = (asked.extras, asked.groups) if asked else ((), ())
    wanted = RequestedExtras(
        tuple(dict.fromkeys((*settings.extras, *extras))), tuple(dict.fromkeys((*settings.groups, *groups)))
    )
    with console.progress(f"reading {project.name}", None):
        requirements = read_requirements(project, target.markers, build_metadata, wanted)
    console.notices(requirements.notices)
    return requirements


def resolve_project(requirements: Requirements, target: Target, *, about: str = "") -> tuple[Lock, Step]:
    """Resolve the requirements of a project, showing the step; `about` is a prefix of its title."""
    with console.step(f"{about}resolve") as step, console.progress(f"{about}resolving", None):
        resolution = resolve(requirements, target)
        how = "resolved" if requirements.lock is None else f"{requirements.lock.name}:"
        ago = "" if resolution.age is None else f" ({resolution.age} s ago)"
        step.title = f"{about}{how} {len(resolution.lock.distributions)} distributions{ago}"
    console.notices(resolution.notices)
    return resolution.lock, step


def fetch_locked(lock: Lock, about: str) -> tuple[Mapping[str, StoredFile], float]:
    """Fetch the wheels of a lock, showing the step; returns them by name, and the seconds that it took."""
    count = len(lock.distributions)
    with (
        console.step(f"{about}fetch {count} wheels") as step,
        console.progress(f"{about}fetching", lock.size) as progress,
    ):
        files = fetch_wheels(lock, progress.update, lambda what: console.progress(f"{about}{what}", None))
        fetched = sum(file.fetched for file in files.values())
        if not fetched:
            step.title = f"{about}{count} wheels are in the cache"
        else:
            step.title = f"{about}fetched {'' if fetched == count else f'{fetched} of '}{count} wheels"
    return files, step.seconds


def build_deps(lock: Lock, requirements: Requirements, out_dir: Path, *, about: str = "") -> DepsBuild:
    """Fetch the wheels of a lock and assemble them, showing the steps; `about` is a prefix of their titles.

    :param requirements: what the lock was made for; a line to change is among them.
    """
    files, fetching = fetch_locked(lock, about)
    identity = lock.identity(LAYOUT_VERSION)
    with console.step(f"{about}assembled") as assembling, console.progress(f"{about}assembling", None):
        assembled: Assembled = assemble_deps_pex(
            [WheelFile(file.path, file.sha256) for file in files.values()],
            identity=identity,
            python_version=lock.target.python_version,
            out_dir=out_dir,
        )
        artefact = assembled.artefact
        written = artefact.path.with_suffix(".cdx.json")
        write_file(written, sbom(lock, assembled.distributions, artefact))
        assembling.title = f"{about}assembled {artefact.name}"
    console.notices([*importing_setuptools(lock, files), *assembled.notices])
    console.notices(rarely_needed(lock, assembled.distributions, requirements))
    return DepsBuild(
        name=artefact.name,
        size=artefact.size,
        sha256=artefact.sha256,
        identity=identity,
        artefact=artefact,
        lock=write_lock(lock, artefact.path),
        versions=lock.versions,
        dagster_version=lock.version_of("dagster") or "",
        seconds={"fetch": fetching, "assemble": assembling.seconds},
        distributions=assembled.distributions,
        sbom=written,
    )


def rarely_needed(
    lock: Lock, distributions: Sequence[PackedDistribution], requirements: Requirements
) -> Iterator[Notice]:
    """Warnings about needless size in the dependencies."""
    if lock.target.is_serverless:
        asked = {name: line.origin for line in requirements.lines if (name := required_name(line.text))}
        yield from cuda_libraries(distributions, asked)
    yield from own_tests(distributions, lock)
    yield from several_sdks(distributions)


def write_lock(lock: Lock, deps: Path) -> Path:
    """Write a lock beside where its deps PEX is, or would be."""
    path = deps.with_suffix(".pylock.toml")
    write_file(path, lock.text.encode())
    return path


def write_file(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write(content)


@dataclass(frozen=True, slots=True)
class SelectedSource:
    """The files of a source tree that its source PEX is to hold.

    :param inside: those of the build directory.
    :param others: those that `include` names outside of it.
    """

    inside: Selection
    others: tuple[ExternalPath, ...]
    notices: tuple[Notice, ...]

    @property
    def selections(self) -> tuple[Selection, ...]:
        """All of them."""
        return (self.inside, *(other.selection for other in self.others))


def select_source(tree: SourceTree, out_dir: Path, include: Sequence[str]) -> SelectedSource:
    """Select a source tree's files.

    The settings are those of the build directory, or of the project where the former has no pyproject.toml.
    """
    own = (tree.directory / "pyproject.toml").is_file()
    settings = read_settings(tree.directory if own else tree.project)
    ignoring = settings.respect_gitignore
    manifest = TomlFile.pyproject(tree.directory if own else tree.project)
    check_includes(
        tree.directory, split_include(settings.include)[1], manifest.origin("tool", "builder", "include")
    )
    inside, outside = split_include([*settings.include, *include])
    selection = select_files(tree.directory, include=inside, respect_gitignore=ignoring, out_dir=out_dir)
    others = tuple(select_outside(tree.directory, outside, respect_gitignore=ignoring, out_dir=out_dir))
    notices = [*lifecycle_notices(tree), *paths_named_outside(tree.directory, selection, outside)]
    notices += missing_manifests(tree.directory, selection.files)
    notices += submodule_notices(tree.directory)
    for chosen in (selection, *(other.selection for other in others)):
        notices += [*chosen.notices, *pointer_notices(tree.directory, chosen.files)]
    return SelectedSource(selection, others, tuple(notices))


def show_selection_notices(source: SelectedSource) -> None:
    """Show the warnings about the files of a source PEX."""
    console.notices(source.notices)
    for secret in (secret for selection in source.selections for secret in selection.secrets):
        console.note(f"  left out, it looks like a secret: {secret}")
    if ignored := sum(selection.git_ignored for selection in source.selections):
        console.note(f"  packed although git ignores them: {ignored} files")


def local_wheels(packages: Sequence[Path], build: LocalPackages, target: Target) -> list[Path]:
    """Build the wheels of local packages; raises SdistBuildError for one that the target cannot install."""
    with ThreadPoolExecutor() as pool:
        wheels = list(pool.map(build.wheel, packages))
    for package, wheel in zip(packages, wheels, strict=True):
        check_fits(target, package.name, wheel)
    return wheels


def version_notices(packages: Sequence[Path]) -> tuple[Notice, ...]:
    """Warnings about local packages whose version comes from a history that is not there."""
    return tuple(history_notices(package for package in packages if inputs_of(package) is Inputs.REPOSITORY))


def build_source(
    tree: SourceTree,
    packages: Sequence[Path],
    build: LocalPackages,
    target: Target,
    out_dir: Path,
    *,
    include: Sequence[str] = (),
    about: str = "",
    may_write: Callable[[], None] = lambda: None,
) -> SourceBuild:
    """Install a project's local packages and pack its files, showing a step; `about` is a prefix of its title.

    :param may_write: called before anything is written to the output directory; raises what forbids it.
    """
    with console.step(f"{about}packed") as step, console.progress(f"{about}packing", None):
        source = select_source(tree, out_dir, include)
        show_selection_notices(source)
        wheels = local_wheels(packages, build, target)
        entries, notices = source_entries(source.inside, wheels, source.others)
        if config := named_config(tree.directory):
            name = f"{ROOT}/{config[0]}"
            entries = [replace(entry, content=config[1]) if entry.name == name else entry for entry in entries]
        # A large file takes its time: the reader knows of it before.
        console.notices([*notices, *large_files(entries), *version_notices(packages)])
        may_write()
        assembled = assemble_source_pex(entries, python_version=target.python_version, out_dir=out_dir)
        artefact = assembled.artefact
        step.title = f"{about}packed {artefact.name}"
    files = sum(len(selection.files) for selection in source.selections)
    return SourceBuild(
        artefact=artefact,
        files=files,
        seconds={"source": step.seconds},
        contents=assembled.files,
        installed=tuple(WheelFile(wheel, "").project for wheel in wheels),
    )
