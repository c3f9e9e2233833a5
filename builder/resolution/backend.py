"""Running build backends: metadata and wheels of local packages, wheels of source distributions.

Backends run under the target's Python, in a copy of the checkout (so no `build/` or egg-info appears in the user's
tree), in the caller's environment without its secrets, with a time limit. Results are cached under a hash of the
build's inputs; where the inputs are unknown (`builder.resolution.build_inputs`), each run builds again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import os
import re
import shutil
import sys
import threading
import urllib.parse
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Final

from builder.errors import BuilderError, Origin, SdistBuildError, TargetError
from builder.project.external_files import split_include
from builder.project.files import Selection, content_key, select_files
from builder.project.metadata import Metadata, is_package
from builder.project.settings import read_settings
from builder.project.toml_file import TomlFile
from builder.resolution import pythons, uv
from builder.resolution.build_inputs import BuildSystem, Inputs, build_system, inputs_of
from builder.resolution.build_tree import ABOVE, BuildTree, lay_out, root_of
from builder.resolution.built_wheel import OLDEST, TIME_LIMIT, build_error, canonical_wheel
from builder.resolution.hooks import PYTHON, ask, build_together, confined, shared_system
from builder.resolution.indexes import Indexes, read_indexes
from builder.resolution.repository import ignored_but_tracked, read_state
from builder.system import process, storage
from builder.system.git import find_repository, open_repository

_FORMAT: Final = "6"
"""Version of the cache entries' format; increase it when the format changes."""

_REPRODUCIBLE: Final = {**PYTHON, "SOURCE_DATE_EPOCH": str(OLDEST)}

# Environment variables that backends, compilers and git read for any package.
_READ_BY_TOOLS: Final = re.compile(
    r"(AR|ARCHFLAGS|C|CARGO|CC|CFLAGS|CMAKE|CPATH|CPLUS|CPPFLAGS|CXX|CXXFLAGS|CYTHON|DISTUTILS|DUNAMAI|FC|FFLAGS|"
    r"FLIT|GIT|HATCH|LD|LDFLAGS|LIBRARY|MATURIN|MESON|NINJA|NPY|PDM|PKG_CONFIG|POETRY|PYO3|RUST|RUSTFLAGS|SETUPTOOLS|"
    r"SKBUILD|SOURCE_DATE_EPOCH|UV_DYNAMIC|VCS_VERSIONING|VERSIONEER|VERSIONINGIT)(_|$)"
)


class LocalPackages:
    """The user's own packages in one run. Each is built at most once, on first use.

    :param python_version: of the target, whose Python runs the backends.
    :param out_dir: the output directory for artefacts; excluded from a package that contains it.
    """

    def __init__(self, python_version: str, out_dir: Path | None = None) -> None:
        self._python_version = python_version
        self._out_dir = out_dir
        self._wheels: dict[Path, Future[Path]] = {}
        self._together: dict[Path, Future[dict[Path, Path]]] = {}
        self._lock = threading.Lock()

    def build_together(self, directories: Iterable[Path], pool: Executor) -> None:
        """Begin to build wheels that will be asked for, in the pool: those with one build system together.

        What cannot be built so is built when it is asked for, and fails then, if it does.
        """
        groups: list[tuple[BuildSystem, Indexes, list[Path]]] = []
        for directory in directories:
            with contextlib.suppress(BuilderError):
                if is_package(directory) and (system := shared_system(directory)):
                    indexes = read_indexes(directory)
                    same = (group[2] for group in groups if group[:2] == (system, indexes))
                    if (members := next(same, None)) is None:
                        groups.append((system, indexes, members := []))
                    members.append(directory)
        for system, indexes, members in groups:
            building = pool.submit(self._build_group, system, indexes, members)
            self._together.update(dict.fromkeys(members, building))

    def _build_group(self, system: BuildSystem, indexes: Indexes, members: Sequence[Path]) -> dict[Path, Path]:
        """Those wheels of packages with one build system that are there, or could be built."""
        wheels, places, selections = {}, {}, {}
        with contextlib.suppress(BuilderError):
            for directory in members:
                selection = self._selection(directory)
                place = self._cache_entry(directory, selection, "wheel")
                if place and (kept := storage.kept(place)):
                    wheels[directory] = kept
                elif place:
                    places[directory], selections[directory] = place, selection
            if selections:
                python = _python_for(next(iter(selections)), self._python_version)
                built = build_together(system, selections, python, indexes, self._out_dir)
                for directory, (name, content) in built.items():
                    wheels[directory] = storage.keep(places[directory], name, content)
        return wheels

    def wheel(self, directory: Path) -> Path:
        """Build a wheel of the package in a directory; raises SdistBuildError with the backend's output."""
        with self._lock:
            known = self._wheels.get(directory)
            future = self._wheels.setdefault(directory, Future())
        if known is None:
            try:
                future.set_result(self._wheel(directory))
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()

    def metadata_of_wheel(self, directory: Path) -> Metadata:
        """Read a package's metadata from its wheel, when the wheel is needed anyway; raises SdistBuildError."""
        return _metadata_in(self.wheel(directory), directory)

    def metadata(self, directory: Path) -> Metadata:
        """Get the metadata of a package from its backend; raises SdistBuildError with the backend's output.

        No wheel is built for this, but a cached wheel of the same inputs is used.
        """
        selection = self._selection(directory)
        wheel = self._cache_entry(directory, selection, "wheel")
        if wheel and (kept := storage.kept(wheel)):
            return _metadata_in(kept, directory)
        place = self._cache_entry(directory, selection, "metadata")
        kept = storage.kept(place) if place else None
        if kept is not None:
            return _parse(kept.read_text(encoding="utf-8"), directory)
        with storage.scratch_directory() as scratch:
            tree = lay_out(directory, selection, scratch, self._out_dir)
            text = _ask_backend(directory, tree, scratch, self._python_version)
        for path, placeholder in tree.placeholders:
            text = text.replace(path, placeholder)
        if place:
            storage.keep(place, "METADATA", text.encode())
        return _parse(text, directory)

    def _wheel(self, directory: Path) -> Path:
        together = self._together.get(directory)
        if together and (built := together.result().get(directory)):
            return built
        selection = self._selection(directory)
        place = self._cache_entry(directory, selection, "wheel")
        kept = storage.kept(place) if place else None
        if kept is not None:
            return kept
        with storage.scratch_directory() as scratch:
            tree = lay_out(directory, selection, scratch, self._out_dir)
            indexes = read_indexes(directory)
            name, content = _build(tree.package, self._python_version, indexes, PYTHON, directory, tree)
        # Without a cache key, the wheel is stored by its content.
        return storage.keep(place or storage.cache_directory() / "local" / "wheel" / "anew", name, content)

    def _selection(self, directory: Path) -> Selection:
        """The package's files, selected as for a source PEX."""
        settings = read_settings(directory)
        return select_files(
            directory,
            include=split_include(settings.include)[0],
            respect_gitignore=settings.respect_gitignore,
            out_dir=self._out_dir,
        )

    def _cache_entry(self, directory: Path, selection: Selection, what: str) -> Path | None:
        """The cache entry of a wheel or metadata, keyed by the build's inputs; None if they are unknown."""
        inputs = inputs_of(directory)
        if inputs is Inputs.UNKNOWN:
            return None
        variables = sorted(f"{name}={value}" for name, value in os.environ.items() if _READ_BY_TOOLS.match(name))
        parts = [
            _FORMAT,
            self._python_version,
            content_key(selection),
            *variables,
            *_repository_parts(directory, inputs),
        ]
        key = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()
        return storage.cache_directory() / "local" / what / key[:2] / key


def _repository_parts(directory: Path, inputs: Inputs) -> list[str]:
    """Parts of the cache key for what a build reads from the repository around a package."""
    directory = Path(os.path.realpath(directory))
    root = find_repository(directory)
    if root is None or shutil.which("git") is None:
        return []
    # hatchling and poetry-core exclude what git ignores, including by .gitignore files above the package.
    way = [path for path in directory.parents if path.is_relative_to(root)]
    parts = [f"{depth} {_text(path / '.gitignore')}" for depth, path in enumerate(way)]
    asks_git = build_system(directory).backend.startswith("poetry")
    if not asks_git and inputs is not Inputs.REPOSITORY:
        return parts
    with open_repository(directory) as repository:
        if asks_git:
            parts.append(ignored_but_tracked(repository, directory))
        if inputs is not Inputs.REPOSITORY:
            return parts
        parts.append(read_state(repository).key)
        # Versions of uncommitted trees contain the date, as do those of some version schemes.
        return [*parts, dt.datetime.now(tz=dt.UTC).date().isoformat()]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""


def _metadata_in(wheel: Path, directory: Path) -> Metadata:
    """Read the metadata of the local package in `directory` from its wheel."""
    with zipfile.ZipFile(wheel) as archive:
        # Top level only: a package may contain a vendored distribution's .dist-info further down.
        member = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return _parse(archive.read(member).decode("utf-8"), directory)


def build_wheel(source: Path, python_version: str, place: Path, *, about: str, indexes: Indexes) -> Path:
    """Build a wheel from a source distribution's directory with uv.

    :param place: the cache directory to store the wheel in.
    :param about: the name of the source in error messages.
    :param indexes: where the build requirements come from.

    Raises SdistBuildError with the end of the backend's output; TargetError if the target's Python is missing.
    """
    name, content = _build(source, python_version, indexes, _REPRODUCIBLE, about)
    return storage.keep(place, name, content)


def _build(
    source: Path,
    python_version: str,
    indexes: Indexes,
    variables: Mapping[str, str],
    about: Path | str,
    tree: BuildTree | None = None,
) -> tuple[str, bytes]:
    """Build a wheel; returns its file name and its bytes."""
    with storage.scratch_directory() as scratch:
        arguments: list[str | Path] = ["build", "--wheel", "--python", _python_for(source, python_version)]
        arguments += ["--no-python-downloads", "--no-create-gitignore", "--out-dir", scratch / "out", source]
        env = {**indexes.variables_outside(scratch), **variables, **confined(scratch)}
        try:
            uv.run(arguments, cwd=scratch, extra_env=env, timeout=TIME_LIMIT)
        except process.ProcessFailed as error:
            raise build_error(about, error, replace=_paths(tree)) from error
        wheel = next((scratch / "out").glob("*.whl"))
        content = canonical_wheel(wheel, replace=tree.placeholders if tree else ())
    return wheel.name, content


def _paths(tree: BuildTree | None) -> tuple[str, str]:
    """The path of the copied checkout, and the path of the original."""
    return (str(tree.above), str(tree.original_above)) if tree else ("", "")


def _python_for(source: Path, python_version: str) -> Path:
    """The Python that runs a backend: the target's version if project code or a compiler runs, else any."""
    try:
        return pythons.find_python(python_version)
    except TargetError:
        if _runs_project_code(source):
            raise
        return Path(sys.executable)


def _runs_project_code(directory: Path) -> bool:
    """Whether the backend runs project code or a compiler, so that the interpreter's version matters."""
    system = build_system(directory)
    pure = system.backend.partition(".")[0] in {"hatchling", "flit_core", "uv_build", "pdm"}
    return bool(system.path) or not pure or (directory / "hatch_build.py").is_file()


def _ask_backend(directory: Path, tree: BuildTree, scratch: Path, python_version: str) -> str:
    system = build_system(tree.package)
    python = pythons.find_python(python_version)
    indexes = read_indexes(directory)
    # After each round the backend may ask for more build requirements (PEP 517); the loop is bounded.
    for _round in range(3):
        try:
            answer = ask(system, {}, python, indexes, scratch, tree.package)
        except process.ProcessFailed as error:
            raise build_error(directory, error, manifest=_manifest(directory), replace=_paths(tree)) from error
        if "metadata" in answer:
            return str(answer["metadata"])
        system = replace(system, requires=(*system.requires, *answer["needs"]))
    raise SdistBuildError(
        f"the build backend of `{directory}` keeps asking for more requirements",
        where=Origin(_manifest(directory)),
        remedy="Check `[build-system]` in pyproject.toml",
    )


def _parse(text: str, directory: Path) -> Metadata:
    above = root_of(directory).parent
    text = re.sub(
        rf"{re.escape(ABOVE)}(/\.\.)*",
        lambda match: urllib.parse.quote(os.path.normpath(match[0].replace(ABOVE, str(above)))),
        text,
    )
    headers: dict[str, list[str]] = {}
    # A line that begins with blanks continues the one before; an empty one ends the headers.
    for line in itertools.takewhile(bool, re.sub(r"\r?\n[ \t]+", " ", text).splitlines()):
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(" ".join(value.split()))
    return Metadata(
        name=headers["name"][0],
        requires=tuple(headers.get("requires-dist", ())),
        requires_python=headers.get("requires-python", [""])[0],
        manifest=_manifest(directory),
        extras=tuple(headers.get("provides-extra", ())),
    )


def _manifest(directory: Path) -> Path:
    """The file that declares a package's requirements."""
    legacy = directory / "setup.py"
    pyproject = TomlFile.pyproject(directory)
    return legacy if legacy.is_file() and "project" not in pyproject.data else pyproject.path
