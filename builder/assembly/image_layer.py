"""Image layers: gzip-compressed tar files whose members are copied from wheels without compressing them again.

A gzip file may have several members (RFC 1952, section 2.2), which unpack to one tar file. The deflate stream of a
file in a wheel becomes a member of its own; the tar headers between two such files are another one. What is not
copied is written without a compressor (RFC 1951: stored blocks, and repeated zero bytes), so the bytes of a layer
depend on its content alone and not on the zlib at hand.

All files have one date, 1980-01-01: zip files, which programs make of their own files, know no earlier one.
"""

from __future__ import annotations

import functools
import hashlib
import posixpath
import re
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Final, NamedTuple

from builder.assembly.archive import DEFLATED, Member, damaged, directory, stored
from builder.assembly.layer import LayerContent
from builder.errors import AssemblyError

EPOCH: Final = 315_532_800
"""The date of all files, in seconds since 1970."""

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_TRAILER: Final = struct.Struct("<2L")
_STORED_LENGTH: Final = struct.Struct("<2H")
_MAX_STORED: Final = 0xFFFF
_FINAL_BLOCK: Final = b"\x03\x00"
"""An empty block with fixed Huffman codes, marked as the last one."""

# Shorter runs take fewer bytes as they are.
_ZEROS: Final = re.compile(rb"\x00{16,}")
_LONGEST_MATCH: Final = 258
_FIRST_BASE: Final = 3
_BLOCK: Final = 512
_RECORD: Final = 20 * _BLOCK
_PIECE: Final = 1 << 20
_WHITEOUT: Final = ".wh."


class Owner(NamedTuple):
    """Who owns a file, by number."""

    user: int = 0
    group: int = 0


ROOT: Final = Owner()


class LayerWriter:
    """Writes one layer to a stream, members in the order in which they are added.

    :param stream: takes the bytes; need not be seekable.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._diff = hashlib.sha256()
        self._size = self._tar_size = self._unpacked = 0
        self._plain = bytearray()
        self._names: set[str] = set()

    def add(self, member: Member, owner: Owner = ROOT) -> None:
        """Append a file, or a directory (its name ends with a slash); the names are relative to the image's root.

        Raises AssemblyError for a name that comes twice, for one that a layer takes for the removal of a file, and
        for a file whose bytes are damaged.
        """
        name = member.name
        if name in self._names:
            raise AssemblyError(f"`{name}` would be in the image layer twice")
        if f"/{_WHITEOUT}" in f"/{name}":
            raise AssemblyError(
                f"`{name}` cannot be in an image: a name that begins with `{_WHITEOUT}` removes another file",
                remedy="Rename it, or leave it out of the build",
            )
        self._names.add(name)
        self._write_plain(_header(member, owner))
        if member.method == DEFLATED:
            self._splice(member)
        else:
            if zlib.crc32(member.data) != member.crc:
                raise damaged(name)
            self._write_plain(member.data)
        self._unpacked += member.size
        self._write_plain(bytes(-member.size % _BLOCK))

    def remove(self, path: str) -> None:
        """Remove a file of the layers below (a whiteout); its path is relative to the image's root."""
        head, tail = posixpath.split(path)
        self._write_plain(_header(stored(posixpath.join(head, f"{_WHITEOUT}{tail}"), b""), ROOT))

    def finish(self) -> LayerContent:
        """Write the end of the tar file."""
        end = self._tar_size + 2 * _BLOCK
        self._write_plain(bytes(2 * _BLOCK + -end % _RECORD))
        self._flush()
        return LayerContent(
            f"sha256:{self._digest.hexdigest()}", self._size, f"sha256:{self._diff.hexdigest()}", self._unpacked
        )

    def _write_plain(self, data: bytes | memoryview) -> None:
        self._plain += data
        self._tar_size += len(data)

    def _splice(self, member: Member) -> None:
        """Copy a deflate stream as a separate gzip member, and verify its unpacked bytes for the diff id."""
        self._flush()
        crc = size = 0
        try:
            for piece in _inflated(member):
                crc, size = zlib.crc32(piece, crc), size + len(piece)
                self._diff.update(piece)
        except zlib.error:
            raise damaged(member.name) from None
        if crc != member.crc or size != member.size:
            raise damaged(member.name)
        self._tar_size += size
        self._write(_GZIP_HEADER, member.data, _GZIP_TRAILER.pack(crc, size & 0xFFFF_FFFF))

    def _flush(self) -> None:
        """Write the bytes collected since the last copied file as one gzip member."""
        if not self._plain:
            return
        content = bytes(self._plain)
        self._plain.clear()
        self._diff.update(content)
        trailer = _GZIP_TRAILER.pack(zlib.crc32(content), len(content) & 0xFFFF_FFFF)
        self._write(_GZIP_HEADER, b"".join(deflate_blocks(content)), trailer)

    def _write(self, *parts: bytes | memoryview) -> None:
        for part in parts:
            self._digest.update(part)
            self._stream.write(part)
            self._size += len(part)


def directories(members: Iterable[Member], below: str) -> list[Member]:
    """The directories that files below a directory of the image imply, sorted; without that one itself.

    :param below: absolute.
    """
    root = f"{below.strip('/')}/"
    parents: set[str] = set()
    for member in members:
        parent = posixpath.dirname(member.name)
        while parent.startswith(root) and parent not in parents:
            parents.add(parent)
            parent = posixpath.dirname(parent)
    return [directory(name) for name in sorted(parents)]


def _header(member: Member, owner: Owner) -> bytes:
    """The header of a tar entry, in the POSIX.1-2001 (pax) format."""
    is_directory = member.name.endswith("/")
    entry = tarfile.TarInfo(member.name.rstrip("/"))
    entry.type = tarfile.DIRTYPE if is_directory else tarfile.REGTYPE
    entry.mode = 0o755 if is_directory or member.executable else 0o644
    entry.size = member.size
    entry.mtime = EPOCH
    entry.uid, entry.gid = owner
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _inflated(member: Member) -> Iterator[bytes]:
    """What a deflate stream unpacks to, piece by piece; raises zlib.error if it is not exactly one stream."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    data: bytes | memoryview = member.data
    while not stream.eof:
        piece = stream.decompress(data, _PIECE)
        data = stream.unconsumed_tail
        if not piece and not data and not stream.eof:
            raise zlib.error
        yield piece
    if stream.unused_data:
        raise zlib.error


def deflate_blocks(content: bytes) -> Iterator[bytes]:
    """A deflate stream of `content`: stored blocks, and runs of zero bytes as repetitions."""
    position = 0
    for run in _ZEROS.finditer(content):
        yield from _stored_blocks(content[position : run.start()])
        yield _zero_run(run.end() - run.start())
        position = run.end()
    yield from _stored_blocks(content[position:])
    yield _FINAL_BLOCK


def _stored_blocks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _MAX_STORED):
        part = content[start : start + _MAX_STORED]
        yield b"\0" + _STORED_LENGTH.pack(len(part), len(part) ^ 0xFFFF) + part


@functools.lru_cache(maxsize=4096)
def _zero_run(length: int) -> bytes:
    """A block that unpacks to `length` zero bytes (at least 4), and an empty stored block, which ends on a byte.

    RFC 1951: the literal 0 is the code 00110000, a match is a length code and the distance code 00000 (one byte
    back), codes begin with their most significant bit, all else with the least.
    """
    bits = _Bits()
    bits.put(0b010, 3)
    bits.put_code(0b00110000, 8)
    left = length - 1
    while left:
        # What is left must be nothing or long enough for a match.
        match = min(left, _LONGEST_MATCH)
        if 0 < left - match < _FIRST_BASE:
            match -= _FIRST_BASE
        bits.put_length(match)
        bits.put_code(0, 5)
        left -= match
    bits.put_code(0, 7)
    bits.put(0, 3)
    return bits.bytes() + b"\x00\x00\xff\xff"


class _Bits:
    """A string of bits as deflate packs them."""

    def __init__(self) -> None:
        self._value = 0
        self._count = 0

    def put(self, value: int, count: int) -> None:
        self._value |= value << self._count
        self._count += count

    def put_code(self, code: int, count: int) -> None:
        self.put(int(f"{code:0{count}b}"[::-1], 2), count)

    def put_length(self, length: int) -> None:
        """The code of a match's length with its extra bits (RFC 1951, section 3.2.5)."""
        symbol, base, extra = next(entry for entry in reversed(_LENGTHS) if entry[1] <= length)
        if symbol < 280:
            self.put_code(symbol - 256, 7)
        else:
            self.put_code(0b11000000 + symbol - 280, 8)
        self.put(length - base, extra)

    def bytes(self) -> bytes:
        return self._value.to_bytes((self._count + 7) // 8, "little")


def _lengths() -> list[tuple[int, int, int]]:
    """Symbol, shortest length and number of extra bits of each code of a match's length."""
    lengths = []
    base = _FIRST_BASE
    for symbol in range(257, 285):
        extra = max(0, (symbol - 261) // 4)
        lengths.append((symbol, base, extra))
        base += 1 << extra
    return [*lengths, (285, _LONGEST_MATCH, 0)]


_LENGTHS: Final = _lengths()
