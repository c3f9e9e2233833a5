"""Building wheels from sdists and git sources, once for each target, and caching them."""

from __future__ import annotations

import hashlib
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import BuilderError, Origin, SdistBuildError, TargetError, ToolError
from builder.project.lines import line_of_name, line_where
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution import pythons, uv
from builder.resolution.availability import Availability
from builder.resolution.backend import build_wheel
from builder.resolution.lock import Distribution, Lock
from builder.resolution.source_refusals import build_remedy
from builder.resolution.store import StoredFile
from builder.resolution.uv_compile import run_compile
from builder.resolution.wheels import StepContext, check_fits
from builder.system import git, storage
from builder.system.process import ProcessFailed
from builder.terminal.formatting import size

_PARALLEL_BUILDS: Final = 4
_LARGEST: Final = 4_000_000_000
"""Bytes of what an sdist may unpack to."""

_UNREADABLE: Final = (
    *(OSError, ValueError, EOFError, RuntimeError, zlib.error, lzma.LZMAError),
    *(tarfile.TarError, zipfile.BadZipFile),
)
"""What the standard library raises for archives that are damaged or no archives."""


def check_python(lock: Lock, sources: Sequence[Distribution]) -> None:
    """Raise SdistBuildError before the downloads start if the target's Python, needed for builds, is missing."""
    unbuilt = [source for source in sources if storage.kept(_cache_directory(lock, source)) is None]
    if not unbuilt:
        return
    try:
        pythons.find_python(lock.target.python_version)
    except TargetError as error:
        line, by = _asking(lock, unbuilt[0])
        raise SdistBuildError(
            f"there is no wheel for {lock.target.description} of {_names(unbuilt)}{by}, and building one takes"
            f" `python{lock.target.python_version}`, which is not on this machine",
            where=line.origin if line else _in_lock(lock, unbuilt[0]),
            remedy=_newer(lock, unbuilt[0]) or error.remedy,
        ) from error


def _newer(lock: Lock, source: Distribution) -> str | None:
    """The remedy for a source whose neighbouring version has a wheel; None if none has."""
    if source.kind != "sdist" or not lock.asked or not source.version:
        return None
    nearest = Availability(lock.asked, lock.target, lock.indexes).nearest(source.name, source.version)
    return f"Require `{source.name}=={nearest}`, the nearest version that has a wheel" if nearest else None


def _asking(lock: Lock, source: Distribution) -> tuple[RequirementLine | None, str]:
    """The project's requirement that a source is needed for; and the words for the distribution that needs it."""
    if lock.asked is None or lock.asked.lock is not None:
        return None, ""
    lines = {required_name(line.text): line for line in lock.asked.lines}
    if source.name in lines:
        return lines[source.name], ""
    try:
        more = ["--annotation-style", "line", "--no-strip-markers"]
        text = run_compile(lock.asked, lock.target, lock.indexes, more=more).stdout
    except ToolError:
        return None, ""
    parents = {
        required_name(have): [canonicalize_name(name.strip()) for name in needing.split(",")]
        for have, needing in re.findall(r"(?m)^(\S+)\s+# via (.*)$", text)
    }
    name, seen = source.name, set[str]()
    while name not in lines and name not in seen:
        seen.add(name)
        name = next((parent for parent in parents.get(name, ()) if not parent.startswith("-r ")), name)
    return lines.get(name), f", which `{parents[source.name][0]}` needs" if source.name in parents else ""


def _in_lock(lock: Lock, source: Distribution) -> Origin | None:
    """Where the project requires a distribution that its own lock has, or where the lock has it."""
    if lock.asked is None or lock.asked.lock is None:
        return None
    required = line_of_name(source.name, lock.asked.directory / "pyproject.toml")
    if required.line:
        return required
    entry = re.compile(rf'\s*name\s*=\s*"{re.escape(source.name)}"')
    place = line_where(lock.asked.lock, entry.match)
    return place if place.line else line_of_name(source.name, lock.asked.lock)


def build_all(
    lock: Lock, sources: Sequence[Distribution], files: Mapping[str, StoredFile], showing: StepContext
) -> Mapping[str, StoredFile]:
    """Get a wheel of every source, kept or built; raises SdistBuildError for those that cannot be built.

    :param files: the sdists, by name.
    """

    def build(distribution: Distribution) -> StoredFile | BuilderError:
        try:
            kept = storage.kept(_cache_directory(lock, distribution))
            wheel = kept or _build(lock, distribution, files, showing)
            check_fits(lock.target, distribution.name, wheel)
            return StoredFile(wheel, storage.sha256_of(wheel), fetched=kept is None)
        except BuilderError as error:
            return error

    with ThreadPoolExecutor(_PARALLEL_BUILDS) as pool:
        built = dict(zip((source.name for source in sources), pool.map(build, sources), strict=True))
    failures = {name: result for name, result in built.items() if isinstance(result, BuilderError)}
    if failures:
        by_name = {source.name: source for source in sources}
        raise _unbuilt(lock, [by_name[name] for name in failures], list(failures.values()))
    return {name: result for name, result in built.items() if isinstance(result, StoredFile)}


def _unbuilt(lock: Lock, sources: Sequence[Distribution], failures: Sequence[BuilderError]) -> SdistBuildError:
    """The error for sources that could not be built: with the first one's requirement, and the remedy for each."""
    line, by = _asking(lock, sources[0])
    remedies = []
    for source, error in zip(sources, failures, strict=True):
        asking = line if source is sources[0] else _asking(lock, source)[0]
        if source.kind == "sdist" and lock.asked and error.detail:
            has = Availability(lock.asked, lock.target, lock.indexes)
            # The traceback, which is not shown, may be what names a host.
            cause = error.__cause__
            output = cause.stderr + cause.stdout if isinstance(cause, ProcessFailed) else error.detail
            remedies.append(build_remedy(has, source.name, source.version, output, asking))
        elif error.remedy:
            remedies.append(error.remedy)
    return SdistBuildError(
        f"there is no wheel for {lock.target.description} of {_names(sources)}{by if len(sources) == 1 else ''},"
        " and none could be built here",
        where=line.origin if line else _in_lock(lock, sources[0]),
        detail="\n\n".join(f"{error.what}\n{error.detail or ''}".strip() for error in failures),
        verbose_detail="\n\n".join(f"{error.what}\n{error.verbose_detail or ''}".strip() for error in failures),
        remedy="; ".join(dict.fromkeys(remedies)) or "Choose versions that have a wheel for the target",
    )


def _build(lock: Lock, distribution: Distribution, files: Mapping[str, StoredFile], showing: StepContext) -> Path:
    place = _cache_directory(lock, distribution)
    about = f"{distribution.name}=={distribution.version}" if distribution.version else distribution.name
    with storage.scratch_directory() as scratch, showing(f"building {about}"):
        if distribution.kind == "git":
            source = _check_out(distribution, scratch / "source")
        else:
            source = unpack_sdist(files[distribution.name].path, scratch / "source")
        subdirectory = source / (distribution.subdirectory or "")
        wheel = build_wheel(subdirectory, lock.target.python_version, place, about=about, indexes=lock.indexes)
    return wheel


def _check_out(distribution: Distribution, directory: Path) -> Path:
    """Check a repository out at the locked commit."""
    try:
        git.clone(str(distribution.location), distribution.digest, directory)
    except ToolError as error:
        raise SdistBuildError(
            f"`{distribution.name}` could not be checked out at {distribution.digest}",
            detail=error.detail or error.what,
        ) from error
    return directory


def unpack_sdist(archive: Path, directory: Path) -> Path:
    """Unpack an sdist; returns its only top-level directory. Raises SdistBuildError if it is not a valid sdist."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as stored:
                _check_zip(stored.infolist())
                stored.extractall(directory)  # noqa: S202  (checked by the line above)
        else:
            with tarfile.open(archive) as tape:
                # The filter rejects members outside the directory.
                tape.extractall(directory, _limited(tape), filter="data")
    except _UNREADABLE as error:
        raise SdistBuildError(f"`{archive.name}` cannot be unpacked: {error}") from error
    inside = list(directory.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else directory


def _limited(members: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """Yield members as long as they do not fill a disk; raises ValueError."""
    total = 0
    for member in members:
        total += member.size
        _check_size(total)
        yield member


def _check_zip(members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise ValueError for members outside the directory, and for more than a disk should take."""
    for member in members:
        if member.filename.startswith("/") or ".." in member.filename.split("/"):
            raise ValueError(f"`{member.filename}` is outside the directory that it is unpacked to")
    _check_size(sum(member.file_size for member in members))


def _check_size(total: int) -> None:
    if total > _LARGEST:
        raise ValueError(f"it has more than {size(_LARGEST)}, as if made to fill a disk")


def _cache_directory(lock: Lock, distribution: Distribution) -> Path:
    """The cache directory for the wheel built from this source for this target."""
    parts = (distribution.digest, distribution.subdirectory or "", lock.target.tag_names[0], uv.pinned_version())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return storage.cache_directory() / "built" / key[:2] / key


def _names(distributions: Sequence[Distribution]) -> str:
    return ", ".join(
        f"`{dist.name}=={dist.version}`" if dist.version else f"`{dist.name}`" for dist in distributions
    )
