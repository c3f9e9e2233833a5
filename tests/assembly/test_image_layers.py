"""Image layers: what they unpack to, held against `uv pip install` and read by everything that reads layers."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.assembly.archive import Member, deflated, directory, stored
from builder.assembly.image_deps import DependencyLayers, dependency_layers
from builder.assembly.image_files import Scheme
from builder.assembly.image_layer import EPOCH, LayerWriter, Owner, deflate_blocks
from builder.assembly.layer import LayerContent
from builder.assembly.wheels import WheelFile
from builder.errors import AssemblyError
from builder.resolution import uv
from builder.system import process
from tests.support.wheels import make_wheel

SCHEME = Scheme(
    python="/usr/local/bin/python3.11",
    python_version="3.11",
    site_packages="/usr/local/lib/python3.11/site-packages",
    scripts="/usr/local/bin",
    prefix="/usr/local",
)

NOT_OURS = ("REQUESTED", "direct_url.json", "uv_cache.json")
"""What uv writes into a `.dist-info` about how it was asked, which a lock does not say."""


@pytest.fixture(scope="session")
def uv_program() -> Path:
    """From the cache that tests share."""
    return uv.executable()


@pytest.fixture(autouse=True)
def _empty_cache(empty_cache: Path) -> None:
    """Layers are made by each test itself."""


def test_an_image_has_the_files_that_uv_installs(
    uv_program: Path, corpus: list[WheelFile], unusual: list[WheelFile], tmp_path: Path
) -> None:
    # What uv does not install: programs without a function, other compression than deflate.
    known = [wheel for wheel in unusual if wheel.project not in {"everywhere", "packed-bz2", "packed-lzma"}]
    wheels = [*corpus, *known, _everywhere(tmp_path)]
    venv = tmp_path / "venv"
    _uv(uv_program, "venv", "--python", sys.executable, venv)
    before = set(venv.rglob("*"))
    words = ("--python", venv / "bin" / "python", "--no-deps", "--no-index", "--link-mode=copy")
    _uv(uv_program, "pip", "install", *words, *(wheel.path for wheel in wheels))
    scheme = Scheme(
        python=str(venv / "bin" / "python"),
        python_version="3.11",
        site_packages=str(venv / "lib" / "python3.11" / "site-packages"),
        scripts=str(venv / "bin"),
        prefix=str(venv),
    )
    # In a virtual environment headers have a place that an image's Python does not know.
    _move(venv / "include" / "site" / "python3.11", venv / "include" / "python3.11")
    expected = {path for path in venv.rglob("*") if path.is_file() and path not in before}
    expected = {path for path in expected if not (path.name in NOT_OURS and path.parts[-3] == "site-packages")}
    expected.remove(venv / ".lock")
    image = _unpacked(dependency_layers(wheels, scheme), tmp_path / "image")
    root = Path(f"{image}{venv}")
    assert {path.relative_to(root) for path in root.rglob("*") if path.is_file()} == {
        path.relative_to(venv) for path in expected
    }
    for path in expected:
        ours = root / path.relative_to(venv)
        if path.parts[-3] != "site-packages" or path.name not in {"RECORD", "INSTALLER"}:
            assert ours.read_bytes() == path.read_bytes(), path
            assert os.access(ours, os.X_OK) == os.access(path, os.X_OK), path
        elif path.name == "RECORD":
            assert _rows(ours) == {
                row for row in _rows(path) if not (row[0].endswith(NOT_OURS) and row[0].count("/") == 1)
            }


def test_each_record_has_the_hash_and_size_of_each_file(
    corpus: list[WheelFile], unusual: list[WheelFile], tmp_path: Path
) -> None:
    image = _unpacked(dependency_layers([*corpus, *unusual], SCHEME), tmp_path)
    site_packages = Path(f"{image}{SCHEME.site_packages}")
    listed: set[Path] = set()
    for record in site_packages.glob("*.dist-info/RECORD"):
        with record.open(newline="") as stream:
            for name, digest, size in csv.reader(stream):
                path = Path(os.path.normpath(site_packages / name))
                assert path not in listed
                listed.add(path)
                if path != record:
                    content = path.read_bytes()
                    assert (digest, size) == (f"sha256={_urlsafe(content)}", str(len(content))), path
    assert listed == {path for path in image.rglob("*") if path.is_file()}


def test_scripts_are_run_by_the_interpreter_of_the_image(unusual: list[WheelFile], tmp_path: Path) -> None:
    image = _unpacked(dependency_layers(unusual, SCHEME), tmp_path)
    for name in ("everywhere", "everywhere-script", "overridden"):
        script = image / "usr/local/bin" / name
        assert script.read_text().splitlines()[0] == f"#!{SCHEME.python}"
        assert script.stat().st_mode & 0o777 == 0o755
    assert (image / "usr/local/bin/everywhere-shell").read_text() == "#!/bin/sh\necho shell\n"


def test_owner_mode_date_and_order_do_not_depend_on_anything(corpus: list[WheelFile]) -> None:
    for layer in dependency_layers(corpus, SCHEME).layers:
        with tarfile.open(layer.path) as archive:
            members = archive.getmembers()
        assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in members} == {
            (0, 0, "", "", EPOCH)
        }
        assert {each.mode for each in members} <= {0o644, 0o755}


def test_the_same_wheels_are_the_same_bytes_whatever_their_order_and_compressor(
    corpus: list[WheelFile], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = dependency_layers(corpus, SCHEME)
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(tmp_path / "another"))

    def compress(*_: object, **__: object) -> bytes:
        raise AssertionError("something was compressed")

    monkeypatch.setattr(zlib, "compress", compress)
    monkeypatch.setattr(zlib, "compressobj", compress)
    second = dependency_layers(corpus[::-1], SCHEME)
    assert [layer.content for layer in first.layers] == [layer.content for layer in second.layers]
    assert [layer.path for layer in first.layers] != [layer.path for layer in second.layers]


def test_digest_size_and_diff_id_are_those_of_the_file(corpus: list[WheelFile]) -> None:
    for layer in dependency_layers(corpus, SCHEME).layers:
        packed = layer.path.read_bytes()
        content = gzip.decompress(packed)
        assert layer.content.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
        assert layer.content.size == len(packed)
        assert layer.content.diff_id == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_layer_that_was_made_before_is_made_again_only_if_it_is_damaged(corpus: list[WheelFile]) -> None:
    layers = dependency_layers(corpus, SCHEME).layers
    times = {layer.path: layer.path.stat().st_mtime_ns for layer in layers}
    damaged = layers[0].path
    damaged.write_bytes(damaged.read_bytes()[:-1])
    again = dependency_layers(corpus, SCHEME).layers
    assert [layer.content for layer in again] == [layer.content for layer in layers]
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {damaged}


def test_what_changes_together_has_a_layer_and_so_has_each_large_wheel(tmp_path: Path) -> None:
    large = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(66_000))
    wheels = [
        make_wheel(tmp_path, {"pandas/data.bin": large}, name="pandas"),
        make_wheel(tmp_path, {"dagster/__init__.py": ""}, name="dagster"),
        make_wheel(tmp_path, {"dagster_dbt/__init__.py": ""}, name="dagster-dbt"),
        make_wheel(tmp_path, {"small/__init__.py": ""}, name="small"),
    ]
    before = dependency_layers(wheels, SCHEME).layers
    assert [layer.title for layer in before] == ["pandas 1.0", "1 distribution", "dagster's own distributions"]
    added = make_wheel(tmp_path, {"other/__init__.py": ""}, name="other")
    after = dependency_layers([*wheels, added], SCHEME).layers
    same = {layer.content.digest for layer in before} & {layer.content.digest for layer in after}
    assert same == {before[0].content.digest, before[2].content.digest}


def test_a_file_that_two_wheels_have_is_there_once_and_said(tmp_path: Path) -> None:
    one = make_wheel(tmp_path, {"shared/x.py": "one\n"}, name="one")
    two = make_wheel(tmp_path, {"shared/x.py": "two\n"}, name="two")
    made = dependency_layers([two, one], SCHEME)
    (notice,) = made.notices
    assert "`one-1.0-py3-none-any.whl` and `two-1.0-py3-none-any.whl` both install" in notice.text
    image = _unpacked(made, tmp_path / "image")
    assert Path(f"{image}{SCHEME.site_packages}/shared/x.py").read_text() == "one\n"


def test_long_and_foreign_names_and_empty_files_survive(tmp_path: Path) -> None:
    names = ["a" * 99, "ü" * 60, "b/" * 60 + "c.py", "d" * 200, "mit Leerzeichen", "empty"]
    content = _written(
        tmp_path / "layer", [*(deflated(name, b"x" * 700) for name in names[:-1]), stored("empty", b"")]
    )
    assert content.unpacked == 700 * 5
    with tarfile.open(tmp_path / "layer") as archive:
        assert archive.getnames() == names
        assert [archive.extractfile(name).read() for name in names] == [b"x" * 700] * 5 + [b""]  # type: ignore[union-attr]


def test_owners_are_those_that_were_asked_for(tmp_path: Path) -> None:
    with (tmp_path / "layer").open("wb") as stream:
        writer = LayerWriter(stream)
        writer.add(directory("app"), Owner(10001, 10001))
        writer.add(stored("app/x", b"x"), Owner(10001, 10001))
        writer.finish()
    with tarfile.open(tmp_path / "layer") as archive:
        assert [(each.isdir(), each.uid, each.gid) for each in archive] == [
            (True, 10001, 10001),
            (False, 10001, 10001),
        ]


@pytest.mark.parametrize("name", [".wh.x", "app/.wh..wh..opq", "app/.wh.x/y"])
def test_a_name_that_removes_another_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="removes another file"):
        _written(tmp_path / "layer", [stored(name, b"")])


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="twice"):
        _written(tmp_path / "layer", [stored("x", b""), stored("x", b"")])


@pytest.mark.parametrize("damage", ["crc", "size", "cut", "garbage", "more"])
def test_a_damaged_stream_of_a_wheel_is_refused(damage: str, tmp_path: Path) -> None:
    member = deflated("x.py", b"x = 1\n" * 1000)
    data = bytes(member.data)
    broken = {
        "crc": member._replace(crc=member.crc ^ 1),
        "size": member._replace(size=member.size - 1),
        "cut": member._replace(data=data[:-4]),
        "garbage": member._replace(data=b"\xff" + data),
        "more": member._replace(data=data + b"more"),
    }[damage]
    with pytest.raises(AssemblyError, match=r"`x\.py` is damaged"):
        _written(tmp_path / "layer", [broken])


def test_a_wheel_whose_stored_file_is_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match="damaged"):
        _written(tmp_path / "layer", [stored("x", b"abc")._replace(data=b"abd")])


@given(st.lists(st.one_of(st.binary(max_size=40), st.integers(0, 3000).map(bytes)), max_size=8))
def test_what_is_not_copied_unpacks_to_itself(parts: list[bytes]) -> None:
    content = b"".join(parts)
    assert zlib.decompress(b"".join(deflate_blocks(content)), -zlib.MAX_WBITS) == content


def test_gnu_tar_and_gzip_read_all_members(corpus: list[WheelFile], tmp_path: Path) -> None:
    layer = dependency_layers(corpus, SCHEME).layers[-1]
    finished = subprocess.run(["gzip", "-dc", layer.path], stdout=subprocess.PIPE, check=True)
    assert f"sha256:{hashlib.sha256(finished.stdout).hexdigest()}" == layer.content.diff_id
    target = tmp_path / "tar"
    target.mkdir()
    subprocess.run(["tar", "-C", target, "-xzf", layer.path], check=True)
    with tarfile.open(layer.path) as archive:
        expected = {each.name for each in archive if each.isfile()}
    assert {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()} == expected


def _everywhere(directory: Path) -> WheelFile:
    """A wheel that uses all places there are."""
    files = {
        "everywhere/__init__.py": "",
        "everywhere/program.sh": "#!/bin/sh\n",
        "everywhere/left.pyc": "bytecode",
        "everywhere-1.0.data/purelib/everywhere/pure.py": "here = True\n",
        "everywhere-1.0.data/platlib/everywhere/native.py": "here = True\n",
        "everywhere-1.0.data/headers/everywhere.h": "#pragma once\n",
        "everywhere-1.0.data/data/share/everywhere/data.txt": "data",
        "everywhere-1.0.data/scripts/everywhere-script": "#!python\nprint('script')\n",
        "everywhere-1.0.data/scripts/everywhere-window": "#!pythonw\nprint('script')\n",
        "everywhere-1.0.data/scripts/everywhere-shell": "#!/bin/sh\necho shell\n",
    }
    scripts = (
        "[console_scripts]\neverywhere = everywhere.pure:Main.run\n[gui_scripts]\nwindow = everywhere.pure:x\n"
    )
    executables = {"everywhere/program.sh"}
    return make_wheel(directory, files, name="everywhere", entry_points=scripts, executables=executables)


def _written(path: Path, members: Sequence[Member]) -> LayerContent:
    with path.open("wb") as stream:
        writer = LayerWriter(stream)
        for member in members:
            writer.add(member)
        return writer.finish()


def _unpacked(made: DependencyLayers, root: Path) -> Path:
    target = root / "unpacked"
    for layer in made.layers:
        with tarfile.open(layer.path) as archive:
            archive.extractall(target, filter="tar")
    return target


def _rows(record: Path) -> set[tuple[str, ...]]:
    with record.open(newline="") as stream:
        rows = {tuple(row) for row in csv.reader(stream)}
    headers = {(row[0].replace("include/site/", "include/"), *row[1:]) for row in rows}
    return {row for row in headers if not row[0].endswith(".dist-info/INSTALLER")}


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _uv(program: Path, *words: str | Path) -> None:
    environment = process.clean_environment()
    finished = process.run([program, "--no-config", "--offline", *words], env=environment, check=False)
    assert finished.code == 0, finished.stderr


@pytest.mark.parametrize("key", ["digest", "size", "diff_id", "unpacked"])
def test_what_is_known_of_a_layer_is_not_believed_once_damaged(
    corpus: list[WheelFile], empty_cache: Path, key: str
) -> None:
    made = dependency_layers(corpus[:1], SCHEME)
    (description,) = empty_cache.glob("layers/*/*/layer.json")
    content = description.read_text()
    value = re.search(rf'"{key}": "?(?:sha256:)?\w', content)
    assert value
    end = value.end()
    description.write_text(f"{content[: end - 1]}{'1' if content[end - 1] != '1' else '2'}{content[end:]}")
    assert dependency_layers(corpus[:1], SCHEME) == made
    assert description.read_text() == content
