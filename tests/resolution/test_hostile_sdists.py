"""Sdists that nobody should unpack: the error has their name and says why, and nothing is written elsewhere."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from builder.errors import SdistBuildError
from builder.resolution import sdists
from builder.resolution.sdists import unpack_sdist


def tape(*members: tuple[str, bytes | str]) -> bytes:
    """A tar.gz; a text is what a symlink leads to."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "x")
    return stream.getvalue()


GOOD = tape(("x-1/setup.py", b"x" * 100_000), ("x-1/link", "setup.py"))


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("x-1.tar.gz", tape(("../outside", b"x")), "would be extracted to"),
        ("x-1.tar.gz", tape(("x-1/../../outside", b"x")), "would be extracted to"),
        ("x-1.tar.gz", tape(("x-1/link", "../.."), ("x-1/link/outside", b"x")), "would link to"),
        ("x-1.tar.gz", tape(("x-1/link", "/etc")), "absolute path"),
        ("x-1.tar.gz", GOOD[:-100], "ended before"),
        ("x-1.tar.gz", b"<html>Not found</html>", "could not be opened"),
        ("x-1.tar.gz", gzip.compress(b"x" * 600), "could not be opened"),
        ("x-1.zip", zipped("../outside"), "is outside the directory"),
        ("x-1.zip", zipped("/outside"), "is outside the directory"),
        ("x-1.zip", zipped("x-1/../../outside"), "is outside the directory"),
        ("x-1.zip", zipped("x-1/setup.py")[:-20], "not a zip file"),
    ],
)
def test_an_sdist_that_nobody_should_unpack_is_told_by_its_name(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SdistBuildError, match=f"`{name}` cannot be unpacked: .*{words}"):
        unpack_sdist(tmp_path / name, tmp_path / "deep" / "directory")
    assert {path.name for path in tmp_path.iterdir()} <= {name, "deep"}
    assert not list((tmp_path / "deep").glob("outside"))


@pytest.mark.parametrize("name, content", [("x-1.tar.gz", GOOD), ("x-1.zip", zipped("x-1/setup.py"))])
def test_what_would_fill_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    assert (unpack_sdist(tmp_path / name, tmp_path / "good") / "setup.py").is_file()
    monkeypatch.setattr(sdists, "_LARGEST", 0)
    with pytest.raises(SdistBuildError, match="as if made to fill a disk"):
        unpack_sdist(tmp_path / name, tmp_path / "bad")
    assert not (tmp_path / "bad" / "x-1" / "setup.py").exists()
