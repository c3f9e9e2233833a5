"""Reading wheels without unpacking them.

What a wheel is: https://packaging.python.org/specifications/binary-distribution-format/. Its container is read by
the standard library's `zipfile`, so that what it accepts is what pip accepts; only the compressed bytes are taken
from the file directly.
"""

from __future__ import annotations

import base64
import io
import mmap
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Final, NoReturn

from packaging.utils import canonicalize_name

from builder.assembly.archive import DEFLATED, STORED, Member, content_of, stored
from builder.errors import AssemblyError
from builder.project.names import archive_name
from builder.terminal.formatting import size

_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_UTF8_NAME: Final = 0x800
# Bits 0, 5, 6 and 13: encrypted, patched, strongly encrypted, masked.
_SECRET_OR_PATCHED: Final = 0x2061
_MOST_METADATA: Final = 20_000_000
"""Bytes of one of a wheel's files of metadata: RECORD has some hundred for each file."""

_LARGE: Final = 100_000_000
_MOST_TIMES: Final = 500
"""How many times its size a large file may be when it is unpacked: data is 50 times at most, a bomb 1000 times."""

_PROJECT_NAME: Final = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE)
_VERSION: Final = re.compile(r"[A-Z0-9.!+_-]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A wheel on this machine.

    :param path: its base name is the wheel's file name.
    :param sha256: of its bytes, hexadecimal, already checked.
    """

    path: Path
    sha256: str

    @property
    def filename(self) -> str:
        """The wheel's canonical file name."""
        return self.path.name

    @property
    def project(self) -> str:
        """The normalised name of the project, as the file name has it (PEP 503)."""
        return archive_name(self.filename)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """What a wheel says of itself.

    :param entries: its files by name, still compressed; they refer to the file's bytes and hold no copy.
    :param dist_info: name of its `.dist-info` directory.
    :param name: of the project, as its metadata spells it.
    :param metadata: the headers of its METADATA by name in lower case.
    :param requires: names of the projects that it depends on, under whatever condition.
    :param entry_points: the content of entry_points.txt.
    """

    file: WheelFile
    entries: Mapping[str, Member]
    dist_info: str
    name: str
    version: str
    metadata: Mapping[str, Sequence[str]]
    requires: tuple[str, ...]
    root_is_purelib: bool
    entry_points: bytes

    @property
    def requirement(self) -> str:
        """What asks for exactly this distribution."""
        return f"{self.file.project}=={self.version}"

    @property
    def record(self) -> str:
        """Name of the list of files that every wheel has."""
        return f"{self.dist_info}/RECORD"


def in_order(files: Iterable[WheelFile]) -> list[WheelFile]:
    """Wheels by project; raises AssemblyError for two of one project."""
    ordered = sorted(files, key=lambda file: (file.project, file.filename))
    for one, other in pairwise(ordered):
        if one.project == other.project:
            raise AssemblyError(f"`{one.filename}` and `{other.filename}` cannot be installed together")
    return ordered


def open_wheel(file: WheelFile) -> Wheel:
    """Read a wheel's directory and metadata; raises AssemblyError if it is not a valid or not a safe wheel."""
    # Of a name that comes twice the last one counts, as it does when the wheel is unpacked.
    entries = {member.name: member for member in _members(file)}
    dist_info = _dist_info(file, entries)
    metadata = _headers(file, entries, f"{dist_info}/METADATA")
    name, version = metadata.get("name", [""])[0], metadata.get("version", [""])[0]
    if not _PROJECT_NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        refuse(file, "its METADATA has no valid name and version")
    if canonicalize_name(name) != file.project:
        refuse(file, f"it calls itself `{name}`, which is not the name of the file")
    requires = {match[0] for value in metadata.get("requires-dist", ()) if (match := _PROJECT_NAME.match(value))}
    wheel = Wheel(
        file=file,
        entries=entries,
        dist_info=dist_info,
        name=name,
        version=version,
        metadata=metadata,
        requires=tuple(sorted(requires)),
        root_is_purelib=_headers(file, entries, f"{dist_info}/WHEEL").get("root-is-purelib") == ["true"],
        entry_points=_content(file, entries, f"{dist_info}/entry_points.txt") or b"",
    )
    if wheel.record not in entries:
        refuse(file, "it has no RECORD")
    _limit_metadata(file, entries[wheel.record])
    return wheel


def record_hash(digest: bytes) -> str:
    """A hash in the form that RECORD has it: base64, safe for URLs, without padding."""
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def refuse(file: WheelFile, why: str) -> NoReturn:
    """Raise the AssemblyError for an unsafe or invalid wheel."""
    raise AssemblyError(
        f"`{file.filename}` cannot be installed: {why}",
        remedy="Choose another version of it, or report it to the project that published it",
    )


def _members(file: WheelFile) -> Iterator[Member]:
    with _opened(file) as stream:
        try:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError:
            refuse(file, "the file is empty")
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            refuse(file, f"it is not a readable zip file ({error})")
        with archive:
            end = 0
            for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
                if info.header_offset < end:
                    refuse(file, f"`{info.filename}` overlaps another file, as if made to fill a disk")
                end = info.header_offset + _LOCAL_HEADER.size + info.compress_size
            for info in archive.infolist():
                parts = info.orig_filename.removesuffix("/").split("/")
                if "\0" in info.orig_filename or not {"", ".", ".."}.isdisjoint(parts):
                    refuse(file, f"it has the unsafe file name `{info.orig_filename!a}`")
                if not info.is_dir():
                    yield _member(file, archive, info, content)


def _opened(file: WheelFile) -> IO[bytes]:
    try:
        return file.path.open("rb")
    except OSError as error:
        refuse(file, f"`{file.path}` cannot be read ({error.strerror})")


def _member(file: WheelFile, archive: zipfile.ZipFile, info: zipfile.ZipInfo, content: memoryview) -> Member:
    if info.flag_bits & _SECRET_OR_PATCHED:
        refuse(file, f"`{info.filename}` is encrypted")
    try:
        header = _LOCAL_HEADER.unpack_from(content, info.header_offset)
    except struct.error:
        refuse(file, "it is truncated")
    name_length, extra_length = header[9:11]
    name_start = info.header_offset + _LOCAL_HEADER.size
    local_name = bytes(content[name_start : name_start + name_length])
    name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_NAME else "cp437")
    if header[0] != b"PK\3\4" or local_name != name:
        refuse(file, f"its directory and its content disagree about `{info.filename}`")
    start = name_start + name_length + extra_length
    # The size is the central directory's: with a data descriptor the local header has none.
    data = content[start : start + info.compress_size]
    if len(data) < info.compress_size or (info.compress_type == STORED and info.compress_size != info.file_size):
        refuse(file, "it is truncated")
    large = info.file_size > _LARGE
    if large and (
        info.file_size > _MOST_TIMES * info.compress_size or info.compress_type not in {STORED, DEFLATED}
    ):
        refuse(file, f"`{info.filename}` has {size(info.file_size)}, as if made to fill a disk")
    # The file type is not looked at: installers write a symbolic link as a file that holds its target.
    executable = bool(info.external_attr >> 16 & 0o100)
    if info.compress_type in {STORED, DEFLATED}:
        return Member(info.filename, data, info.compress_type, info.CRC, info.file_size, executable)
    try:
        return stored(info.filename, archive.read(info), executable=executable)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        refuse(file, f"`{info.filename}` cannot be decompressed ({error})")


def _dist_info(file: WheelFile, entries: Mapping[str, Member]) -> str:
    directories = {
        first
        for first, _, rest in (name.partition("/") for name in entries)
        if rest in {"METADATA", "WHEEL"} and first.endswith(".dist-info")
    }
    if len(directories) != 1:
        refuse(file, f"it has {len(directories) or 'no'} `.dist-info` directories with metadata")
    return directories.pop()


def _headers(file: WheelFile, entries: Mapping[str, Member], name: str) -> dict[str, list[str]]:
    """Values of each header of a metadata file; header names in lower case."""
    content = _content(file, entries, name)
    if content is None:
        refuse(file, f"it has no `{name}`")
    headers: dict[str, list[str]] = {}
    for line in io.StringIO(content.decode(errors="replace"), newline=None):
        header, colon, value = line.partition(":")
        # A line of nothing but blanks continues a header, such as the text of a licence.
        if not line.rstrip("\n"):
            break
        if colon and not header[0].isspace():
            headers.setdefault(header.strip().lower(), []).append(value.strip())
    return headers


def _content(file: WheelFile, entries: Mapping[str, Member], name: str) -> bytes | None:
    if name not in entries:
        return None
    member = entries[name]
    _limit_metadata(file, member)
    try:
        return content_of(member)
    except AssemblyError:
        refuse(file, f"its `{name}` is damaged")


def _limit_metadata(file: WheelFile, member: Member) -> None:
    if member.size > _MOST_METADATA:
        refuse(file, f"its `{member.name}` has {size(member.size)}, and {size(_MOST_METADATA)} is the limit")
