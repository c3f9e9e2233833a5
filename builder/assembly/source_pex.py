"""The source PEX: the files of a project in one file, next to the deps PEX that they run with."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from builder.assembly.archive import (
    ENTRY_SIZE,
    MAX_BYTES,
    ArchiveWriter,
    ChangedError,
    Member,
    deflated,
    deflated_file,
    directory,
    names_of_both,
)
from builder.assembly.bootstrap import PEX_VERSION, bootstrap
from builder.assembly.contents import PackedFile, packed_file
from builder.assembly.pex_file import RESERVED, frame, preamble
from builder.errors import AssemblyError, FileNameError
from builder.system import storage
from builder.system.storage import Artefact

SOURCE_LAYOUT_VERSION: Final = "1"
"""Part of the identity: increase it when the same files give other bytes."""

DEPS: Final = ".deps"
"""Where distributions are, each in a directory with the name of a wheel."""

_OF_DISTRIBUTIONS: Final = re.compile(rf"{re.escape(DEPS)}/[^/]+\.whl/.")
_BATCH: Final = 1 << 20
_SIZE_OF_A_NAME: Final = 1 << 12
"""Bytes that a file counts for besides its own: what opening it costs."""
_STREAMED: Final = 32 << 20
"""Bytes from which on a file is not held in memory."""
_IN_MEMORY: Final = 64 << 20
_MOST_THREADS: Final = 4

_compressing = threading.Lock()


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One file or directory of a source PEX.

    :param name: POSIX path inside the PEX, without a trailing slash.
    :param mode: 0o644 or 0o755; means nothing for a directory.
    :param content: the bytes, or the file that holds them; None for a directory.
    """

    name: str
    mode: int
    content: Path | bytes | None


@dataclass(frozen=True, slots=True)
class AssembledSource:
    """A source PEX, and the files in it, sorted by name."""

    artefact: Artefact
    files: tuple[PackedFile, ...]


def assemble_source_pex(entries: Iterable[SourceEntry], *, python_version: str, out_dir: Path) -> AssembledSource:
    """Write `source-{identity}.pex` into `out_dir`.

    The identity, 40 hexadecimal digits, covers the names, modes and compressed bytes of all files and directories,
    so that one name always means the same bytes, whatever zlib compressed them. The order of `entries` is of no
    importance; parent directories are implied.

    :param python_version: such as `"3.11"`: what receivers must run.

    What lies in `.deps/NAME-VERSION-….whl/` is a distribution: receivers put its programs on the PATH.

    Raises AssemblyError for names that a PEX cannot hold, and for a file that cannot be read or changes meanwhile;
    StorageError if the PEX cannot be written.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    _check_names(ordered)
    storage.make_directory(out_dir)
    # The identity names the file and is written into it, but is known only when all else has been compressed.
    with _spool(out_dir) as spool:
        writer = ArchiveWriter(spool, preamble=preamble(python_version))
        own = {entry.name for entry in ordered}
        files = []
        for member in _compressed(ordered, out_dir):
            writer.add(member)
            if member.name in own:
                files.append(packed_file(member))
        identity = _identity(python_version, writer.digest())
        distributions = _distributions(ordered)
        for member in frame(
            python_version=python_version,
            code_hash=identity,
            requirements=["{}=={}".format(*name.split("-")[:2]) for name in distributions],
            distributions=distributions,
        ):
            writer.add(member)
        size, sha256 = writer.finish()
        spool.seek(0)
        path = out_dir / f"source-{identity}.pex"
        with storage.atomic_write(path, mode=0o755) as stream:
            shutil.copyfileobj(spool, stream, 1 << 20)
    return AssembledSource(Artefact(path, size, sha256, identity), tuple(files))


def packed_size(entries: Iterable[SourceEntry]) -> int:
    """The size in bytes of a source PEX of these entries, but for what the names of their directories take."""
    members = [*_compressed(list(entries), None), *frame(python_version="3.11", code_hash="0" * 40)]
    return sum(len(member.data) + 2 * len(member.name.encode(errors="replace")) + ENTRY_SIZE for member in members)


def _distributions(entries: Iterable[SourceEntry]) -> dict[str, str]:
    """The hash of each distribution by its directory: receivers keep what they unpacked under it for good."""
    hashes: dict[str, list[object]] = {}
    for entry in entries:
        if entry.name.startswith(f"{DEPS}/") and isinstance(entry.content, bytes):
            content = hashlib.sha256(entry.content).hexdigest()
            hashes.setdefault(entry.name.split("/")[1], []).append((entry.name, entry.mode, content))
    return {
        name: hashlib.sha256(
            f"dagster-builder source layout {SOURCE_LAYOUT_VERSION}\0{parts}".encode()
        ).hexdigest()
        for name, parts in hashes.items()
    }


def _identity(python_version: str, content_digest: str) -> str:
    parts = ("dagster-builder source layout", SOURCE_LAYOUT_VERSION, PEX_VERSION, python_version, content_digest)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


@contextlib.contextmanager
def _spool(out_dir: Path) -> Iterator[tempfile.SpooledTemporaryFile[bytes]]:
    try:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(out_dir)) as spool:
            yield spool
    except OSError as error:
        raise storage.storage_error(error, out_dir / "source.pex") from error


def _compressed(entries: Sequence[SourceEntry], scratch: Path | None) -> Iterator[Member]:
    threads = _threads()
    yield from bootstrap_members()
    # zlib and file reads release the interpreter lock.
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[list[Member]]] = deque()
        for batch in _batches(entries):
            if len(waiting) > 2 * threads:
                yield from waiting.popleft().result()
            waiting.append(pool.submit(_members, batch, scratch))
        while waiting:
            yield from waiting.popleft().result()


def _threads() -> int:
    return min(_MOST_THREADS, os.cpu_count() or 1)


def _batches(entries: Iterable[SourceEntry]) -> Iterator[list[SourceEntry]]:
    """Entries that make a job together: one for each of many small files would cost more than the file."""
    batch: list[SourceEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += _size(entry) + _SIZE_OF_A_NAME
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(entry: SourceEntry) -> int:
    if not isinstance(entry.content, Path):
        return len(entry.content or b"")
    try:
        return entry.content.stat().st_size
    except OSError:
        # The error is reported when the file is read.
        return 0


def bootstrap_members() -> tuple[Member, ...]:
    """The code that boots a source PEX, compressed; done once, also for threads that ask at once."""
    with _compressing:
        return _bootstrap_members()


@cache
def _bootstrap_members() -> tuple[Member, ...]:
    with ThreadPoolExecutor(_threads()) as pool:
        return tuple(pool.map(_recompressed, bootstrap().members))


def _recompressed(member: Member) -> Member:
    return member if member.name.endswith("/") else deflated(member.name, bytes(member.data))


def _members(entries: Sequence[SourceEntry], scratch: Path | None) -> list[Member]:
    return [compressed_member(entry, scratch) for entry in entries]


def compressed_member(entry: SourceEntry, scratch: Path | None = None) -> Member:
    """The member of an archive that an entry becomes; raises AssemblyError if its file cannot be read.

    :param scratch: a directory for what large files become until it is written.
    """
    executable = bool(entry.mode & 0o100)
    if entry.content is None:
        return directory(entry.name)
    if isinstance(entry.content, bytes):
        return deflated(entry.name, entry.content, executable=executable)
    return _member_of_file(entry.name, entry.content, scratch, executable=executable)


def _member_of_file(name: str, path: Path, scratch: Path | None, *, executable: bool) -> Member:
    try:
        with path.open("rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            if before.st_size > MAX_BYTES:
                raise AssemblyError(f"`{path}` is larger than 4 GiB, more than a PEX file can hold")
            if before.st_size > _STREAMED:
                with tempfile.TemporaryFile(dir=scratch) as target:
                    member = deflated_file(name, stream, target, executable=executable)
            else:
                member = deflated(name, stream.readall(), executable=executable)
            after = os.fstat(stream.fileno())
    except ChangedError:
        raise _changed(path) from None
    except OSError as error:
        if error.errno in storage.FULL:
            raise storage.storage_error(error, scratch or path) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        remedy = "Let nothing else write to the project while it is built, and make its files readable"
        raise AssemblyError(f"could not read `{path}`: {reason}", remedy=remedy) from error
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, member.size):
        raise _changed(path)
    return member


def _changed(path: Path) -> AssemblyError:
    return AssemblyError(
        f"`{path}` changed while it was read",
        remedy="Let nothing else write to the project while it is built, or leave that file out of it",
    )


def check_encoding(name: str) -> None:
    """Raise FileNameError for a name that is not valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise FileNameError(name) from None


def _check_names(entries: Sequence[SourceEntry]) -> None:
    for entry in entries:
        name = entry.name
        parts = name.split("/")
        if "\0" in name or not {"", ".", ".."}.isdisjoint(parts):
            raise AssemblyError(f"`{name!a}` is not a valid name in a PEX file")
        if parts[0] in RESERVED and not _OF_DISTRIBUTIONS.match(name):
            raise AssemblyError(f"`{name}` is a name that the PEX format reserves", remedy=f"Rename `{parts[0]}`")
        check_encoding(name)
    files = {entry.name for entry in entries if entry.content is not None}
    if clashes := names_of_both(files, directories=(entry.name for entry in entries if entry.content is None)):
        raise AssemblyError(f"`{min(clashes)}` is both a file and a directory")
