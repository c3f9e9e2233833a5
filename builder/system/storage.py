"""Writing files atomically, scratch directories, locks, and cached files that are verified by hash."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from builder.errors import StorageError
from builder.system import temporaries

TEMPORARY_PREFIX = ".builder-tmp-"

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Error numbers of a disk that cannot be written at all."""

_USED_SECONDS = 600
"""Uses within this time in seconds are recorded once."""

_LEFTOVER_SECONDS = 86400
"""Seconds after which a temporary file is a leftover of a killed run, since no run takes longer."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A finished file.

    :param path: its path; its base name is also its name in a registry.
    :param size: in bytes.
    :param sha256: of the bytes, hexadecimal.
    :param identity: of the content, hexadecimal; equal identities mean equal bytes.
    """

    path: Path
    size: int
    sha256: str
    identity: str

    @property
    def name(self) -> str:
        """The file name, without directories."""
        return self.path.name


def cache_directory() -> Path:
    """The builder's cache: `$BUILDER_CACHE_DIR`, else the platform's per-user cache directory."""
    configured = os.environ.get("BUILDER_CACHE_DIR")
    if configured:
        return Path(configured).absolute()
    # build-builder.sh imports this module with a Python that has nothing but the standard library.
    import platformdirs  # noqa: PLC0415

    return Path(platformdirs.user_cache_dir("dagster-builder"))


def make_directory(path: Path) -> Path:
    """Create `path` and its parents; raises StorageError if that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, path) from error
    return path


@contextlib.contextmanager
def atomic_write(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Write `path` through a temporary file next to it, which is renamed when complete.

    The mode does not depend on the umask. Raises StorageError for a full disk or a missing permission. If the body
    raises, the temporary file is removed, and an existing file at `path` is unchanged.
    """
    make_directory(path.parent)
    try:
        with temporaries.creation:
            descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
            temporary = Path(name)
            temporaries.in_use.add(temporary)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        with os.fdopen(descriptor, "w+b") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise storage_error(error, path) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        temporaries.in_use.discard(temporary)


@contextlib.contextmanager
def scratch_directory(parent: Path | None = None) -> Iterator[Path]:
    """Create a temporary directory that is always removed at the end of the context.

    Raises StorageError if it cannot be created, or if the disk becomes full during the context.
    """
    if parent is not None:
        make_directory(parent)
    try:
        with temporaries.creation:
            holder = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=parent, ignore_cleanup_errors=True)
            temporary = Path(holder.name)
            temporaries.in_use.add(temporary)
    except OSError as error:
        raise storage_error(error, parent or Path(tempfile.gettempdir())) from error
    try:
        with holder:
            yield temporary
    except OSError as error:
        if error.errno in FULL:
            raise storage_error(error, Path(error.filename or temporary)) from error
        raise
    finally:
        temporaries.in_use.discard(temporary)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files in `directory` that a killed builder of this user left a day or more ago."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.startswith(TEMPORARY_PREFIX):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid != os.getuid() or time.time() - status.st_mtime < _LEFTOVER_SECONDS:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink()


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Hold an advisory lock against other builders on this machine; waits until the lock is free."""
    make_directory(lock_file.parent)
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise storage_error(error, lock_file) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def mark_used(path: Path) -> None:
    """Record the use of a cache entry in its modification time, which `builder.cache.entries` reads."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _USED_SECONDS:
            os.utime(path)


def keep(directory: Path, name: str, content: bytes) -> Path:
    """Store a file in its own directory of the cache, under the hash of its content."""
    path = directory / hashlib.sha256(content).hexdigest() / name
    with atomic_write(path) as stream:
        stream.write(content)
    return path


def kept(directory: Path) -> Path | None:
    """The file that `keep` stored in a directory; None if it is missing or corrupt."""
    for path in sorted(directory.glob("*/*")):
        with contextlib.suppress(OSError):
            if not path.name.startswith(TEMPORARY_PREFIX) and sha256_of(path) == path.parent.name:
                mark_used(path)
                return path
    return None


def write_checked(path: Path, text: str) -> None:
    """Write a text to the cache, with its hash, so that `read_checked` notices damage."""
    with atomic_write(path) as stream:
        stream.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())


def read_checked(path: Path) -> str | None:
    """The text that `write_checked` wrote; None if it is missing or damaged."""
    try:
        head, _, text = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if head == hashlib.sha256(text.encode()).hexdigest() else None


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, hexadecimal; raises OSError as `open` does."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def storage_error(error: OSError, path: Path, *, detail: str | None = None) -> StorageError:
    """Make a StorageError with a hint from an OSError about `path`; `detail` is another program's message."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = {
        errno.ENOSPC: f"Free some space on the disk that holds `{path.parent}`, or choose another directory",
        errno.EDQUOT: "Free some space within your disk quota, or choose another directory",
        errno.EACCES: f"Make `{path.parent}` writable, or choose another directory",
        errno.EROFS: "Choose a directory on a writable file system",
    }.get(error.errno or 0, "Check the path, and that the directory is writable")
    return StorageError(f"could not write `{path}`: {reason}", detail=detail, remedy=remedy)
