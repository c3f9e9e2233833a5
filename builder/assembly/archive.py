"""Writing reproducible zip files: the bytes depend only on the content.

The format is PKWARE's APPNOTE 6.3. Every entry is dated 1980-01-01 and says `S_IFREG | 0755` or `0644`
(`S_IFDIR | 0755` for directories): receivers that restore modes need the file type to be there.

zip64 is used for one thing: the number of entries, where it exceeds 65,535. All versions of pex-tools unpack such
a file, but Python before 3.13 cannot run it as it is.
"""

from __future__ import annotations

import hashlib
import mmap
import posixpath
import stat
import struct
import zlib
from collections.abc import Collection, Iterable
from typing import IO, Final, NamedTuple

from builder.errors import AssemblyError

STORED: Final = 0
DEFLATED: Final = 8

MAX_BYTES: Final = 0xFFFF_FFFF

_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER: Final = struct.Struct("<4s6H3L5H2L")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR: Final = struct.Struct("<4sLQL")
_END: Final = struct.Struct("<4s4H2LH")
ENTRY_SIZE: Final = _LOCAL_HEADER.size + _CENTRAL_HEADER.size
"""Bytes that an entry takes besides its content and, twice, its name."""

_MAX_COUNT: Final = 0xFFFF

_VERSION_NEEDED: Final = 20
_MADE_ON_UNIX: Final = (3 << 8) | 20
_ZIP64_NEEDED: Final = 45
_UTF8_NAME: Final = 0x800
_MIDNIGHT: Final = 0
_FIRST_OF_JANUARY_1980: Final = (1 << 5) | 1
_DOS_DIRECTORY: Final = 0x10
_FILE_MODE: Final = (stat.S_IFREG | 0o644) << 16
_PROGRAM_MODE: Final = (stat.S_IFREG | 0o755) << 16
_DIRECTORY_MODE: Final = ((stat.S_IFDIR | 0o755) << 16) | _DOS_DIRECTORY

# Level 9 takes three times as long for 1 % less, level 1 half as long for 20 % more to upload.
_LEVEL: Final = 6

_CHUNK: Final = 1 << 20
_LARGE: Final = 16 << 20
"""Bytes from which on a member is written in pieces: a stream that keeps things in memory would copy it."""


class Member(NamedTuple):
    """One entry of a zip file, compressed or not, ready to be written. A tuple because there are many thousands.

    :param name: POSIX path inside the archive; a directory's ends with a slash.
    :param data: the bytes as they stand in the archive, for DEFLATED a raw deflate stream.
    :param method: STORED or DEFLATED.
    :param crc: CRC-32 of the uncompressed bytes.
    :param size: of the uncompressed bytes.
    """

    name: str
    data: bytes | memoryview
    method: int
    crc: int
    size: int
    executable: bool = False


def stored(name: str, content: bytes, *, executable: bool = False) -> Member:
    """Make a member of `content` as it is: its bytes do not depend on any compressor."""
    return Member(name, content, STORED, zlib.crc32(content), len(content), executable)


def content_of(member: Member) -> bytes:
    """The uncompressed bytes of a member; raises AssemblyError, soon, if they are not those that it promises."""
    content = bytes(member.data)
    if member.method == DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, member.size + 1)
        except zlib.error:
            content = b""
    if (len(content), zlib.crc32(content)) != (member.size, member.crc):
        raise damaged(member.name)
    return content


def damaged(name: str) -> AssemblyError:
    """The error for a file of a wheel whose bytes are not those that the wheel promises."""
    return AssemblyError(
        f"`{name}` is damaged in the wheel that it comes from",
        remedy="Choose another version of that distribution",
    )


def directory(name: str) -> Member:
    """Make an entry for an otherwise implied, or empty, directory; `name` has no trailing slash."""
    return Member(f"{name}/", b"", STORED, 0, 0)


def deflated(name: str, content: bytes, *, executable: bool = False) -> Member:
    """Compress `content`, if that makes it smaller; which bytes come out depends on the zlib at hand."""
    data = zlib.compress(content, _LEVEL, -zlib.MAX_WBITS)
    if len(data) >= len(content):
        return stored(name, content, executable=executable)
    return Member(name, data, DEFLATED, zlib.crc32(content), len(content), executable)


def deflated_file(name: str, source: IO[bytes], scratch: IO[bytes], *, executable: bool = False) -> Member:
    """Compress what `source` holds as `deflated` does, in pieces; the result lies in `scratch`, an empty file.

    That may be closed before the member is written. Raises ChangedError if the content does not stay the same.
    """
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc = size = 0
    while chunk := source.read(_CHUNK):
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        scratch.write(compressor.compress(chunk))
    scratch.write(compressor.flush())
    if scratch.tell() < size:
        return Member(name, _mapped(scratch), DEFLATED, crc, size, executable)
    scratch.seek(0)
    scratch.truncate()
    source.seek(0)
    again = 0
    while chunk := source.read(_CHUNK):
        again = zlib.crc32(chunk, again)
        scratch.write(chunk)
    if (again, scratch.tell()) != (crc, size):
        raise ChangedError(name)
    return Member(name, _mapped(scratch), STORED, crc, size, executable)


def _mapped(stream: IO[bytes]) -> memoryview:
    stream.flush()
    return memoryview(mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ))


class ChangedError(Exception):
    """A file was changed while it was read."""


def names_of_both(files: Collection[str], directories: Iterable[str] = ()) -> set[str]:
    """The names that are both a file and a directory, given or implied: no tool can unpack those."""
    known = set(directories)
    for name in files:
        parent = posixpath.dirname(name)
        while parent and parent not in known:
            known.add(parent)
            parent = posixpath.dirname(parent)
    return known.intersection(files)


class ArchiveWriter:
    """Writes a zip file to a stream, members in the order in which they are added.

    :param stream: takes the bytes; need not be seekable.
    :param preamble: bytes before the first entry, such as a `#!` line.
    """

    def __init__(self, stream: IO[bytes], *, preamble: bytes = b"") -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._pending: list[bytes | memoryview] = [preamble]
        self._pending_size = len(preamble)
        self._offset = len(preamble)
        self._central: list[bytes] = []
        self._names: set[str] = set()

    def add(self, member: Member) -> None:
        """Append one member; raises AssemblyError if its name is taken or the archive would exceed 4 GiB."""
        name, data, method, crc, size, executable = member
        if name in self._names:
            raise AssemblyError(f"`{name}` would be in the PEX file twice")
        self._names.add(name)
        encoded = name.encode()
        offset, compressed = self._offset, len(data)
        if len(encoded) > 0xFFFF:
            raise AssemblyError(f"the name `{name[:100]}…` is too long for a zip file")
        self._offset += _LOCAL_HEADER.size + len(encoded) + compressed
        if self._offset > MAX_BYTES or size > MAX_BYTES:
            raise _too_large(f"it reaches that at `{name}`")
        flags = 0 if name.isascii() else _UTF8_NAME
        attributes = _DIRECTORY_MODE if name.endswith("/") else _PROGRAM_MODE if executable else _FILE_MODE
        common = (
            _VERSION_NEEDED,
            flags,
            method,
            _MIDNIGHT,
            _FIRST_OF_JANUARY_1980,
            crc,
            compressed,
            size,
            len(encoded),
        )
        self._write(_LOCAL_HEADER.pack(b"PK\3\4", *common, 0) + encoded)
        self._write(data)
        self._central.append(
            _CENTRAL_HEADER.pack(b"PK\1\2", _MADE_ON_UNIX, *common, 0, 0, 0, 0, attributes, offset) + encoded
        )

    def digest(self) -> str:
        """A sha256 of all members so far, with names and modes, hexadecimal."""
        self._flush()
        digest = self._digest.copy()
        digest.update(b"".join(self._central))
        return digest.hexdigest()

    def finish(self) -> tuple[int, str]:
        """Write the central directory; returns the whole archive's size in bytes and its sha256."""
        central = b"".join(self._central)
        start, end, count = self._offset, self._offset + len(central), len(self._central)
        if end > MAX_BYTES:
            raise _too_large("it reaches that with the names of its files")
        closing = b""
        if count > _MAX_COUNT:
            closing += _END64.pack(
                b"PK\6\6", _END64.size - 12, _MADE_ON_UNIX, _ZIP64_NEEDED, 0, 0, count, count, len(central), start
            )
            closing += _END64_LOCATOR.pack(b"PK\6\7", 0, end, 1)
            count = _MAX_COUNT
        closing += _END.pack(b"PK\5\6", 0, 0, count, count, len(central), start, 0)
        self._write(central + closing)
        self._flush()
        return end + len(closing), self._digest.hexdigest()

    def _write(self, data: bytes | memoryview) -> None:
        if len(data) > _LARGE:
            self._flush()
            view = memoryview(data)
            for start in range(0, len(data), _CHUNK):
                self._put(view[start : start + _CHUNK])
                if isinstance(view.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                    # Or all of a mapped file would be in memory in the end.
                    view.obj.madvise(mmap.MADV_DONTNEED, start, min(_CHUNK, len(data) - start))
        else:
            self._pending.append(data)
            self._pending_size += len(data)
            if self._pending_size >= _CHUNK:
                self._flush()

    def _flush(self) -> None:
        # Thousands of small pieces: one hash update and one write per megabyte instead of two per entry.
        self._put(self._pending[0] if len(self._pending) == 1 else b"".join(self._pending))
        self._pending.clear()
        self._pending_size = 0

    def _put(self, chunk: bytes | memoryview) -> None:
        self._digest.update(chunk)
        self._stream.write(chunk)


def _too_large(where: str) -> AssemblyError:
    return AssemblyError(
        "the PEX file would be larger than 4 GiB, more than receivers can unpack",
        detail=where,
        remedy="Depend on fewer or smaller packages in this code location, or leave large data files out of it",
    )
