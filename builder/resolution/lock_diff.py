"""Comparing two locks: any two `pylock.toml` of PEP 751, not only the builder's."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.pylock import Package, PackageArchive, PackageSdist, PackageWheel, Pylock, PylockValidationError

from builder.errors import InvalidLockError, Origin, ResolutionError


@dataclass(frozen=True, slots=True)
class LockEntry:
    """All entries of a lock for one project.

    :param versions: usually one; several if a lock is for several targets, none if only a build determines it.
    :param contents: hashes and commits of its files, which show a change when the version is the same.
    :param size: of its file in bytes; None if the lock does not have it, or has several files to choose from.
    """

    name: str
    versions: tuple[str, ...]
    contents: frozenset[str]
    size: int | None

    @property
    def version(self) -> str:
        """The version as shown to users."""
        return ", ".join(self.versions) or "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockDiff:
    """The differences between an old lock and a new one, sorted by name.

    :param changed: the old and the new entry of each project whose version or files differ.
    :param unchanged: the number of projects that are the same in both.
    :param old_size: the sum of the file sizes that the old lock has, in bytes; `new_size` likewise.
    :param unknown: the number of projects whose size is missing from a lock.
    """

    added: tuple[LockEntry, ...]
    removed: tuple[LockEntry, ...]
    changed: tuple[tuple[LockEntry, LockEntry], ...]
    unchanged: int
    old_size: int
    new_size: int
    unknown: int

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.changed)


def read_lock_entries(path: Path) -> dict[str, LockEntry]:
    """Read the entries of a lock file, by normalised project name.

    Raises ResolutionError with the file's name and, if a key is wrong, that key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "Give two locks, such as the `deps-….pylock.toml` that builds leave beside their deps PEX"
        raise ResolutionError(f"the lock `{path}` does not exist", remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResolutionError(f"the lock `{path}` cannot be read: {error}") from error
    return parse_lock_entries(text, Origin(path))


def parse_lock_entries(text: str, origin: Origin) -> dict[str, LockEntry]:
    """Parse the text of a lock; raises ResolutionError as `read_lock_entries` does, with `origin`."""
    try:
        packages = Pylock.from_dict(tomllib.loads(text)).packages
    except (ValueError, RecursionError, PylockValidationError) as error:
        if origin.path.name == "uv.lock":
            remedy = "Write it as one first: uv export --format pylock.toml --output-file pylock.toml"
            raise InvalidLockError(error, origin, remedy) from error
        raise InvalidLockError(error, origin) from error
    by_name: dict[str, list[Package]] = {}
    for package in packages:
        by_name.setdefault(package.name, []).append(package)
    return {name: _locked(name, entries) for name, entries in by_name.items()}


def diff_locks(old: Mapping[str, LockEntry], new: Mapping[str, LockEntry]) -> LockDiff:
    """Compare two locks."""
    both = sorted(old.keys() & new.keys())
    changed = [(old[name], new[name]) for name in both if _differ(old[name], new[name])]
    return LockDiff(
        added=tuple(new[name] for name in sorted(new.keys() - old.keys())),
        removed=tuple(old[name] for name in sorted(old.keys() - new.keys())),
        changed=tuple(changed),
        unchanged=len(both) - len(changed),
        old_size=_size(old.values()),
        new_size=_size(new.values()),
        unknown=len({entry.name for entry in (*old.values(), *new.values()) if entry.size is None}),
    )


def _locked(name: str, packages: Iterable[Package]) -> LockEntry:
    versions: dict[str, None] = {}
    contents: set[str] = set()
    files: list[PackageWheel | PackageSdist | PackageArchive | None] = []
    for package in packages:
        if package.version is not None:
            versions[str(package.version)] = None
        contents.update(_contents(package))
        # The source distribution is only used if there is no wheel.
        files += package.wheels or [package.sdist or package.archive]
    size = files[0].size if len(files) == 1 and files[0] else None
    return LockEntry(name, tuple(versions), frozenset(contents), size)


def _contents(package: Package) -> Iterator[str]:
    """Hashes and commits: equal ones mean that two packages install the same files, whatever their URLs."""
    for file in (*(package.wheels or ()), package.sdist, package.archive):
        if file is not None:
            yield from (f"{algorithm}:{digest}" for algorithm, digest in file.hashes.items())
    if package.vcs is not None:
        yield f"commit:{package.vcs.commit_id}"
    if package.directory is not None:
        yield f"directory:{package.directory.path}"


def _differ(old: LockEntry, new: LockEntry) -> bool:
    return (old.versions, old.contents) != (new.versions, new.contents)


def _size(entries: Iterable[LockEntry]) -> int:
    return sum(entry.size or 0 for entry in entries)
