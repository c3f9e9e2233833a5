"""The cache directory: listing its contents, and removing entries that have not been used for long.

An entry is created, used and removed as a whole: a wheel, an unpacked builder, the unpacked dependencies of a
lock. The time of its last use, which `storage.mark_used` sets, is the latest modification time of the entry and of
the files directly in it. An entry is renamed to a temporary name before its removal, so that no process sees an
incomplete one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import StorageError, UsageError
from builder.system import storage

UNUSED_DAYS: Final = 30
"""Days after its last use until an entry is removed."""

SIZE_VARIABLE: Final = "BUILDER_CACHE_MAX_GB"
"""The environment variable that limits the size of the cache, in GB (10^9 bytes); without it there is no limit."""

_DAY: Final = 86400.0
_IN_USE: Final = 3600.0
"""Seconds since its last use in which no entry is removed for its size: another run may be using it."""

_PRUNED: Final = ".pruned"
"""The file whose time of change is that of the last `prune`."""

_KINDS: Final = {
    "sha256": ("wheels and sdists", "*/*"),
    "local": ("wheels of local packages", "*/*/*"),
    "built": ("wheels built from sdists", "*/*"),
    "boot": ("unpacked builders", "*"),
    "verify": ("unpacked dependencies", "*/*"),
    "loads": ("locations that loaded", "*"),
    "preview": ("web servers", "*"),
    "tools": ("uv", "*"),
    "uv": ("uv's own cache", "."),
    "containers": ("container images", "."),
    "layers": ("image layers", "*/*"),
    "base-images": ("base images", "*/*"),
}
"""Title of each directory of the cache, and the pattern of its entries. Elsewhere, each name is an entry."""

_OTHER: Final = ("other", "*")


@dataclass(frozen=True, slots=True)
class Contents:
    """The total size of one kind of entry.

    :param size: bytes of all files of the kind.
    """

    title: str
    entries: int
    size: int


@dataclass(frozen=True, slots=True)
class Removal:
    """The sizes in bytes of what was removed and of what is left."""

    entries: int
    before: int
    after: int


def contents() -> list[Contents]:
    """The contents of the cache by kind, the largest first."""
    sizes: dict[str, list[int]] = {}
    for title, path in _entries(storage.cache_directory()):
        sizes.setdefault(title, []).append(_size(path))
    kinds = [Contents(title, len(entries), sum(entries)) for title, entries in sizes.items()]
    return sorted(kinds, key=lambda kind: (-kind.size, kind.title))


def prune() -> Removal:
    """Remove entries that were not used for 30 days, and day-old leftovers of killed runs.

    If the cache exceeds `BUILDER_CACHE_MAX_GB`, the least recently used entries are also removed. Raises
    UsageError if that is not a number, StorageError if the cache cannot be written.
    """
    before = sum(kind.size for kind in contents())
    removed = _remove_unused()
    return Removal(removed, before, sum(kind.size for kind in contents()))


def prune_when_due() -> None:
    """Call `prune` if the last time was more than a day ago; raises UsageError as `prune` does."""
    stamp = storage.cache_directory() / _PRUNED
    with contextlib.suppress(OSError):
        if time.time() - stamp.stat().st_mtime < _DAY:
            return
    # A successful build must not fail because of the cache.
    with contextlib.suppress(StorageError):
        _remove_unused()


def _remove_unused() -> int:
    """Remove unused entries; returns their number."""
    limit = _limit()
    directory = storage.make_directory(storage.cache_directory())
    with storage.atomic_write(directory / _PRUNED):
        pass
    now = time.time()
    ages = {path: now - _last_use(path) for _title, path in _entries(directory)}
    gone = [path for path, age in ages.items() if age > UNUSED_DAYS * _DAY]
    if limit is not None:
        sizes = {path: _size(path) for path in ages.keys() - gone}
        total = sum(sizes.values())
        for path in sorted(sizes, key=lambda path: -ages[path]):
            if total > limit and ages[path] > _IN_USE:
                gone.append(path)
                total -= sizes[path]
    # A killed run leaves temporary files in the cache and scratch directories in the system's temporary directory.
    for parent in {path.parent for path in ages} | ages.keys() | {directory, Path(tempfile.gettempdir())}:
        storage.remove_leftovers(parent)
    return sum(_remove(path) for path in gone)


def clear() -> Removal:
    """Remove everything in the cache. Runs that use it at the same time fail."""
    before = sum(kind.size for kind in contents())
    removed = sum(_remove(path) for _title, path in list(_entries(storage.cache_directory())))
    return Removal(removed, before, sum(kind.size for kind in contents()))


def _limit() -> float | None:
    text = os.environ.get(SIZE_VARIABLE)
    if not text:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UsageError(
            f"{SIZE_VARIABLE} is `{text}`, which is not a size", remedy="Give a number of GB, such as 5"
        )
    return limit * 1e9


def _entries(directory: Path) -> Iterator[tuple[str, Path]]:
    """Each entry of the cache, with the title of its kind."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        title, pattern = _KINDS.get(path.name, _OTHER)
        if pattern == "." or not path.is_dir() or path.name.startswith(storage.TEMPORARY_PREFIX):
            entries = iter([path])
        else:
            entries = path.glob(pattern)
        for entry in entries:
            # Lock files stay, since waiting processes open them by name.
            if entry.suffix != ".lock" and entry.name not in (".lock", _PRUNED):
                yield title, entry


def _last_use(path: Path) -> float:
    """The time of the last use in seconds since 1970; the present time if another run removed the entry."""
    try:
        times = [path.lstat().st_mtime]
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as children:
                times += [child.stat(follow_symlinks=False).st_mtime for child in children]
    except FileNotFoundError:
        return time.time()
    return max(times)


def _size(path: Path) -> int:
    """The total size of the files at and below a path, in bytes; hard links to one file count once."""
    sizes: dict[int, int] = {}
    if not path.is_dir() or path.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            return path.lstat().st_size
    for parent, _directories, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(parent, name))  # noqa: PTH118  (a hundred thousand files)
                sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def _remove(path: Path) -> bool:
    """Remove an entry; returns False if permission is missing."""
    gone = path.with_name(f"{storage.TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    try:
        path.rename(gone)
    except OSError:
        return False
    if gone.is_dir() and not gone.is_symlink():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        gone.unlink(missing_ok=True)
    return True
