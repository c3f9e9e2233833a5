from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.assembly.deps_pex import assemble_deps_pex
from builder.assembly.wheels import WheelFile
from builder.errors import AssemblyError
from tests.support.wheels import make_wheel, wheel_file

DIST_INFO = "sample-1.0.dist-info"


def refused(path: Path, out_dir: Path) -> str:
    with pytest.raises(AssemblyError) as caught:
        assemble_deps_pex([wheel_file(path)], identity="1", python_version="3.11", out_dir=out_dir)
    assert path.name in caught.value.what
    assert caught.value.remedy
    assert not list(out_dir.glob("*"))
    return caught.value.what


@pytest.mark.parametrize(
    "files, complaint",
    [
        ({"../evil.py": ""}, "unsafe file name `'../evil.py'`"),
        ({"sample/../../evil.py": ""}, "unsafe file name"),
        ({"/etc/evil": ""}, "unsafe file name `'/etc/evil'`"),
        ({"sample//evil.py": ""}, "unsafe file name"),
        ({"./evil.py": ""}, "unsafe file name"),
        ({"sample-1.0.data/data/../../evil": ""}, "unsafe file name"),
        ({"sample": "", "sample/inner.py": ""}, "`sample` is both a file and a directory"),
        ({"sample-1.0.data/nowhere/x": ""}, "no installer knows where its `sample-1.0.data/nowhere/x` belongs"),
        ({"sample-1.0.data/x": ""}, "no installer knows where"),
        ({"other-1.0.dist-info/METADATA": "Name: other\nVersion: 1\n"}, "it has 2 `.dist-info` directories"),
        ({f"{DIST_INFO}/METADATA": "Name: other\nVersion: 1.0\n"}, "it calls itself `other`"),
        ({f"{DIST_INFO}/METADATA": "Name: sample\n\nVersion: 1.0\n"}, "no valid name and version"),
        ({f"{DIST_INFO}/METADATA": "Name: ../x\nVersion: 1.0\n"}, "no valid name and version"),
        ({f"{DIST_INFO}/entry_points.txt": "[console_scripts]\n../x = a:b\n"}, "`../x` is not a file name"),
        ({f"{DIST_INFO}/entry_points.txt": "[console_scripts]\nx = a:\n"}, "malformed: x = a:"),
        ({f"{DIST_INFO}/entry_points.txt": "x = a:b\n"}, "malformed: x = a:b"),
        ({f"{DIST_INFO}/entry_points.txt": b"[console_scripts]\n\xff = a:b\n"}, "malformed"),
    ],
)
def test_refuses_wheels_that_nobody_should_install(
    tmp_path: Path, files: dict[str, str | bytes], complaint: str
) -> None:
    assert complaint in refused(make_wheel(tmp_path, files).path, tmp_path / "out")


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_refuses_a_wheel_without_its_metadata(tmp_path: Path, missing: str) -> None:
    whole = make_wheel(tmp_path, {}).path
    path = tmp_path / "missing" / whole.name
    path.parent.mkdir()
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            if not info.filename.endswith(missing):
                target.writestr(info, source.read(info))
    assert missing in refused(path, tmp_path / "out")


def test_nothing_that_record_says_is_believed(tmp_path: Path) -> None:
    """The receiving server writes it anew; pip and uv do not obey it either."""
    lies = ("sample.py,sha256=AAAA,1\n", "missing.py,,\n", "../../outside.py,sha256=AAAA,1\n", '"\n', "")
    for number, lie in enumerate(lies):
        (directory := tmp_path / str(number)).mkdir()
        path = make_wheel(directory, {"sample.py": "x = 1\n", f"{DIST_INFO}/RECORD": lie}).path
        artefact = assemble_deps_pex(
            [wheel_file(path)], identity="1", python_version="3.11", out_dir=directory
        ).artefact
        with zipfile.ZipFile(artefact.path) as made:
            names = {name for name in made.namelist() if name.startswith(f".deps/{path.name}/sample")}
            assert made.read(f".deps/{path.name}/sample.py") == b"x = 1\n"
        assert names == {f".deps/{path.name}/sample.py"} | {name for name in names if DIST_INFO in name}
        assert not [name for name in made.namelist() if "outside" in name or "missing" in name]


def _declare(path: Path, name: bytes, size: int) -> None:
    """Have a wheel say that one of its files has so many bytes."""
    content = bytearray(path.read_bytes())
    for signature, sizes, names in ((b"PK\1\2", 24, 46), (b"PK\3\4", 22, 30)):
        at = content.index(name, content.index(signature)) - names
        while content[at : at + 4] != signature:
            at = content.index(name, at + names + 1) - names
        struct.pack_into("<L", content, at + sizes, size)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["METADATA", "RECORD", "WHEEL", "entry_points.txt"])
def test_metadata_without_measure_is_refused_before_it_is_unpacked(tmp_path: Path, name: str) -> None:
    made = make_wheel(tmp_path, {f"{DIST_INFO}/{name}": b"x" * 30_000_000})
    assert f"`{DIST_INFO}/{name}` has 30.0 MB, and 20.0 MB is the limit" in refused(made.path, tmp_path / "out")


def test_metadata_that_is_larger_than_it_says_takes_no_memory(tmp_path: Path) -> None:
    made = make_wheel(tmp_path, {f"{DIST_INFO}/METADATA": b"x" * 60_000_000})
    _declare(made.path, f"{DIST_INFO}/METADATA".encode(), 1000)
    tracemalloc.start()
    try:
        assert "METADATA` is damaged" in refused(made.path, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_file_that_is_a_thousand_times_its_size_is_refused(tmp_path: Path, compression: int) -> None:
    path = make_wheel(tmp_path, {"zeros": bytes(1_000_000)}, compression=compression).path
    _declare(path, b"zeros", 3_000_000_000)
    assert "`zeros` has 3.0 GB, as if made to fill a disk" in refused(path, tmp_path / "out")


def test_files_that_lie_in_one_another_are_refused(tmp_path: Path) -> None:
    """As in `zbsm.zip` of David Fifield's "A better zip bomb": one content for many names."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("b", "content " * 100)
    made = make_wheel(tmp_path, {"a": inner.getvalue(), "b": "content " * 100}, compression=zipfile.ZIP_STORED)
    content = bytearray(made.path.read_bytes())
    directory = content.index(b"PK\1\2", content.rindex(b"PK\3\4"))
    central = content.index(b"PK\1\2", directory)
    while content[central + 46 : central + 47] != b"b" or content[central + 28 : central + 30] != b"\1\0":
        central = content.index(b"PK\1\2", central + 1)
    struct.pack_into("<L", content, central + 42, content.index(inner.getvalue()))
    made.path.write_bytes(content)
    assert "`b` overlaps another file" in refused(made.path, tmp_path / "out")


def test_refuses_a_wheel_that_is_not_there(tmp_path: Path) -> None:
    missing = WheelFile(tmp_path / "sample-1.0-py3-none-any.whl", "0" * 64)
    with pytest.raises(AssemblyError, match="cannot be read"):
        assemble_deps_pex([missing], identity="1", python_version="3.11", out_dir=tmp_path)


def flag_as_encrypted(content: bytes) -> bytes:
    return _patch(content, b"PK\1\2", 8, 1)


def flag_as_masked(content: bytes) -> bytes:
    return _patch(content, b"PK\1\2", 8, 1 << 13)


def rename_locally(content: bytes) -> bytes:
    return content.replace(b"sample.py", b"SAMPLE.py", 1)


def move_entry(content: bytes) -> bytes:
    return _patch(content, b"PK\1\2", 42, 7)


def point_beyond_the_end(content: bytes) -> bytes:
    return _patch(content, b"PK\1\2", 42, 0x7FFF)


def damage_metadata(content: bytes) -> bytes:
    return content.replace(b"Name: sample", b"Name: simple", 1)


def use_unknown_compression(content: bytes) -> bytes:
    return _patch(content, b"PK\1\2", 10, 77)


def cut_off_the_end(content: bytes) -> bytes:
    return content[:-30]


def cut_out_the_middle(content: bytes) -> bytes:
    return content[:100] + content[400:]


def be_empty(_content: bytes) -> bytes:
    return b""


def be_no_zip_file(_content: bytes) -> bytes:
    return b"<html>Not found</html>"


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (flag_as_encrypted, "is encrypted"),
        (flag_as_masked, "is encrypted"),
        (rename_locally, "disagree about `sample.py`"),
        (move_entry, "`sample.py` overlaps another file"),
        (point_beyond_the_end, "truncated"),
        (damage_metadata, "METADATA` is damaged"),
        (use_unknown_compression, "cannot be decompressed"),
        (cut_off_the_end, "not a readable zip file"),
        (cut_out_the_middle, ""),
        (be_empty, "the file is empty"),
        (be_no_zip_file, "not a readable zip file"),
    ],
)
def test_refuses_damaged_and_forged_wheels(
    tmp_path: Path, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    path = make_wheel(tmp_path, {"sample.py": "x = 1\n" * 50}, compression=zipfile.ZIP_STORED).path
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    assert complaint in refused(path, tmp_path / "out")


def test_reads_small_zip64_wheels(tmp_path: Path) -> None:
    """zip64 fields that are not needed are allowed, and some tools write them always."""
    path = make_wheel(tmp_path, {"sample.py": "x = 1\n"}).path
    with zipfile.ZipFile(path, "a") as archive, archive.open("more.py", "w", force_zip64=True) as stream:
        stream.write(b"y = 2\n")
    artefact = assemble_deps_pex(
        [wheel_file(path)], identity="1", python_version="3.11", out_dir=tmp_path / "out"
    ).artefact
    with zipfile.ZipFile(artefact.path) as read:
        assert read.read(f".deps/{path.name}/more.py") == b"y = 2\n"


def _patch(content: bytes, signature: bytes, offset: int, value: int) -> bytes:
    """Set a 16-bit field of the central header of `sample.py`."""
    start = -1
    while True:
        start = content.index(signature, start + 1)
        if content[start + 46 :].startswith(b"sample.py"):
            return content[: start + offset] + struct.pack("<H", value) + content[start + offset + 2 :]
