"""Reading the directory of a remote zip file from its last bytes: whether the file is complete, and its contents.

The format is PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name

_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR: Final = struct.Struct("<4sLQL")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_IN_ZIP64: Final = 0xFFFF_FFFF
_WHEEL: Final = re.compile(r"\.deps/([A-Za-z0-9._]+)-([A-Za-z0-9.!+_]+)-[^/]+\.whl(?:/|$)")


@dataclass(frozen=True, slots=True)
class CentralDirectory:
    """Where a zip file's list of entries lies: `size` bytes from the byte `start` of the file on."""

    start: int
    size: int


@dataclass(frozen=True, slots=True)
class DistributionSize:
    """A distribution in a deps PEX: its version, and the bytes that its files take there."""

    version: str
    size: int


def central_directory(tail: bytes, size: int) -> CentralDirectory | None:
    """Find the central directory of a zip file; None if the file does not end as a whole one does.

    :param tail: the file's last bytes: all of them, or at least those of its end records.
    :param size: of the file.
    """
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        return None
    *_, listed, offset, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        return None
    end = at
    locator = at - _END64_LOCATOR.size
    if locator >= 0 and tail.startswith(b"PK\6\7", locator):
        end = locator - _END64.size
        if end < 0 or not tail.startswith(b"PK\6\6", end):
            return None
        *_, listed, offset = _END64.unpack_from(tail, end)
    start = size - len(tail) + end - listed
    # Offsets may count from the first entry instead of from the first byte, which the `#!` line has.
    return CentralDirectory(start, listed) if 0 <= offset <= start else None


def distribution_sizes(entries: bytes) -> dict[str, DistributionSize]:
    """What a deps PEX is made of, by normalised project name, out of the bytes of its central directory.

    Raises ValueError if they are none.
    """
    sizes: dict[str, DistributionSize] = {}
    for name, size in _entries(entries):
        if match := _WHEEL.match(name):
            project = canonicalize_name(match[1])
            before = sizes[project].size if project in sizes else 0
            sizes[project] = DistributionSize(match[2], before + size)
    return sizes


def _entries(entries: bytes) -> Iterator[tuple[str, int]]:
    """Each entry's name and compressed size."""
    at = 0
    while at < len(entries):
        try:
            signature, *_, size, _, name, extra, comment, _, _, _, _ = _ENTRY.unpack_from(entries, at)
        except struct.error:
            raise ValueError("it is cut off") from None
        if signature != b"PK\1\2" or size == _IN_ZIP64:
            raise ValueError("it is not the central directory of a PEX file")
        at += _ENTRY.size
        yield entries[at : at + name].decode("utf-8", "replace"), size
        at += name + extra + comment
