"""Compressing the wheels of one distribution for two Pythons together: most of their bytes are the same.

A stream is an xz file of a zip file for each Python, one after the other, nothing in them compressed, with the
files of the wheel as the wheel has them. A binary for several machines is reduced to the one that is needed, and
the line of RECORD about it follows.

The bytes were the same with liblzma 5.4.1, 5.8.1 and 5.8.4; all that its encoder can be told is fixed here.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

from builder_targets import Target

from builder.assembly.archive import ArchiveWriter, stored
from builder.system import storage

_UNIVERSAL = b"\xca\xfe\xba\xbe"
_SLICE = struct.Struct(">5I")
_ARM64 = 0x0100_000C

_X86 = {"id": lzma.FILTER_X86}
_LZMA = {
    "id": lzma.FILTER_LZMA2,
    "dict_size": 32 << 20,
    "lc": 3,
    "lp": 0,
    "pb": 2,
    "mode": lzma.MODE_NORMAL,
    "nice_len": 64,
    # BT4 would make the whole 0.8 MB smaller, in more time.
    "mf": lzma.MF_HC4,
    "depth": 0,
}


def compressed(parts: Sequence[bytes], target: Target, cache: Path) -> bytes:
    """One xz file of all parts, for the machine of `target`; kept in `cache`, since it takes seconds to make."""
    plain = b"".join(parts)
    filters = [_X86, _LZMA] if target.machine == "x86_64" else [_LZMA]
    key = hashlib.sha256(repr(filters).encode() + plain).hexdigest()
    kept = storage.kept(cache / key)
    if kept is None:
        made = lzma.compress(plain, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)
        kept = storage.keep(cache / key, "stream.xz", made)
    return kept.read_bytes()


def unpacked_wheel(wheel: Path, target: Target) -> bytes:
    """A zip file of a wheel's files in which nothing is compressed, for the machine of `target` only."""
    with zipfile.ZipFile(wheel) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    if target.system == "Darwin":
        thinned = {
            name: thin for name, content in files.items() if (thin := thinned_binary(content)) is not content
        }
        (record,) = (name for name in files if name.endswith(".dist-info/RECORD") and name.count("/") == 1)
        files |= thinned
        files[record] = _record(files[record], thinned)
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    for name in sorted(files):
        writer.add(stored(name, files[name]))
    writer.finish()
    return stream.getvalue()


def thinned_binary(content: bytes) -> bytes:
    """The part for arm64 of a universal binary of macOS, with its signature; other files as they are."""
    if content[:4] != _UNIVERSAL:
        return content
    (count,) = struct.unpack_from(">I", content, 4)
    for number in range(count):
        machine, _subtype, offset, size, _alignment = _SLICE.unpack_from(content, 8 + number * _SLICE.size)
        if machine == _ARM64:
            return content[offset : offset + size]
    return content


def _record(record: bytes, changed: dict[str, bytes]) -> bytes:
    if not changed:
        return record
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for row in csv.reader(io.StringIO(record.decode(), newline="")):
        if row and row[0] in changed:
            content = changed[row[0]]
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            row[1:] = [f"sha256={digest}", str(len(content))]
        writer.writerow(row)
    return text.getvalue().encode()
