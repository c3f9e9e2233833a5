from __future__ import annotations

import io
import zipfile

import pytest

from builder.assembly import archive
from builder.assembly.archive import ArchiveWriter, Member, deflated, directory, stored
from builder.errors import AssemblyError


def written(*members: Member, preamble: bytes = b"") -> bytes:
    stream = io.BytesIO()
    writer = ArchiveWriter(stream, preamble=preamble)
    for member in members:
        writer.add(member)
    size, _ = writer.finish()
    assert size == len(stream.getvalue())
    return stream.getvalue()


def test_says_what_each_entry_is() -> None:
    text = b"spam " * 100
    content = written(
        directory("d"), stored("d/ä b", b"x"), deflated("run", text, executable=True), preamble=b"#!/bin/sh\n"
    )
    assert content.startswith(b"#!/bin/sh\nPK")
    with zipfile.ZipFile(io.BytesIO(content)) as read:
        assert read.testzip() is None
        assert {info.filename: (info.external_attr >> 16, info.date_time) for info in read.infolist()} == {
            "d/": (0o040755, (1980, 1, 1, 0, 0, 0)),
            "d/ä b": (0o100644, (1980, 1, 1, 0, 0, 0)),
            "run": (0o100755, (1980, 1, 1, 0, 0, 0)),
        }
        assert read.read("run") == text
        assert read.getinfo("run").compress_size < len(text)


def test_compresses_only_what_gets_smaller() -> None:
    assert deflated("x", b"ab").method == archive.STORED


def test_holds_more_entries_than_a_plain_zip_file_can_count() -> None:
    content = written(*(stored(f"{number}", b"") for number in range(70_000)))
    with zipfile.ZipFile(io.BytesIO(content)) as read:
        assert len(read.infolist()) == 70_000
        assert read.read("69999") == b""


def test_refuses_what_exceeds_four_gibibytes() -> None:
    writer = ArchiveWriter(io.BytesIO())
    with pytest.raises(AssemblyError, match="larger than 4 GiB"):
        writer.add(Member("huge", b"", archive.DEFLATED, 0, 1 << 32))


def test_refuses_the_same_name_twice() -> None:
    with pytest.raises(AssemblyError, match="`x` would be in the PEX file twice"):
        written(stored("x", b"1"), stored("x", b"2"))


def test_digest_tells_modes_and_names_apart() -> None:
    def digest(member: Member) -> str:
        writer = ArchiveWriter(io.BytesIO())
        writer.add(member)
        return writer.digest()

    members = [stored("a", b""), stored("a", b"", executable=True), stored("b", b""), directory("a")]
    assert len({digest(member) for member in members}) == len(members)
