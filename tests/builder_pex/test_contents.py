"""What builder.pex holds: wheels that fit, the files of the lock, and its next version as a small difference."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import lzma
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pipfile_lock
import pytest
from build_builder import LIMIT
from builder_pex_boot import Group, Place
from builder_streams import thinned_binary
from builder_targets import TARGETS, Target
from packaging import tags
from packaging.utils import parse_wheel_filename

from builder.system import storage
from tests.conftest import REPOSITORY, build_builder
from tests.support.schemas import check_schema


def test_is_small(builder_pex: Path) -> None:
    assert builder_pex.stat().st_size < LIMIT == 60_000_000


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_holds_wheels_that_fit(builder_pex: Path, target: Target) -> None:
    interpreter = f"cp{target.python.replace('.', '')}"
    version = tuple(map(int, target.python.split(".")))
    platforms = list(target.tags) if target.system == "Linux" else list(tags.mac_platforms((11, 0), "arm64"))
    accepted = {
        *tags.cpython_tags(version, [interpreter], platforms),
        *tags.compatible_tags(version, interpreter, platforms),
    }
    with zipfile.ZipFile(builder_pex) as archive:
        groups: list[Group] = json.loads(archive.read(f"targets/{target.name}.json"))
        wheels = [wheel for group in groups for wheel in group["wheels"] if wheel != "builder.zip"]
        assert set(wheels) <= set(archive.namelist())
        assert groups[0]["streams"] == []
        wheels += [wheel_in(archive, place) for place in groups[1]["streams"]]
    assert all(parse_wheel_filename(wheel)[3] & accepted for wheel in wheels)
    names = {parse_wheel_filename(wheel)[0] for wheel in wheels}
    assert {
        "dagster",
        "dagster-cloud-cli",
        "dagster-dg-cli",
        "grpcio",
        "pydantic-core",
        "pyyaml",
        "pex",
        "pip",
    } <= names
    assert len(names) == len(wheels)


def part_of(archive: zipfile.ZipFile, place: Place) -> zipfile.ZipFile:
    name, start, size = place
    return zipfile.ZipFile(io.BytesIO(lzma.decompress(archive.read(name))[start : start + size]))


def wheel_in(archive: zipfile.ZipFile, place: Place) -> str:
    """The name that the wheel in a stream had, of whose tags any will do."""
    part = part_of(archive, place)
    (info,) = (name for name in part.namelist() if name.endswith(".dist-info/WHEEL"))
    tag = next(line for line in part.read(info).decode().splitlines() if line.startswith("Tag: "))
    return f"{info.split('.dist-info')[0]}-{tag.removeprefix('Tag: ')}.whl"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_streams_hold_the_very_files_of_the_locked_wheels(builder_pex: Path, target: Target) -> None:
    locked = {sha256 for entry in pipfile_lock.read("default") for sha256 in entry.sha256}
    with zipfile.ZipFile(builder_pex) as archive:
        groups: list[Group] = json.loads(archive.read(f"targets/{target.name}.json"))
        assert groups[1]["streams"]
        for place in groups[1]["streams"]:
            part = part_of(archive, place)
            project = place[0].removesuffix(f"-{target.system}-{target.machine}.xz")
            # What the build fetched for this Python.
            fetched = storage.cache_directory().glob(f"build/*/{target.name}/{project}-*.whl")
            wheel = next(path for path in fetched if storage.sha256_of(path) in locked)
            with zipfile.ZipFile(wheel) as original:
                originals = {name: original.read(name) for name in original.namelist() if not name.endswith("/")}
            assert set(part.namelist()) == originals.keys()
            changed = {name for name, content in originals.items() if part.read(name) != content}
            if target.system == "Linux":
                assert not changed
            for name in changed:
                if not name.endswith("/RECORD"):
                    assert part.read(name) == thinned_binary(originals[name])
            assert_record_holds(part)


def assert_record_holds(wheel: zipfile.ZipFile) -> None:
    (record,) = (name for name in wheel.namelist() if name.endswith(".dist-info/RECORD"))
    for name, digest, size in csv.reader(io.StringIO(wheel.read(record).decode())):
        if digest:
            content = wheel.read(name)
            known = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={known}", str(len(content)))


def test_a_universal_binary_is_reduced_to_the_machine_that_is_needed() -> None:
    intel, arm = b"intel", b"the other"
    slices = struct.pack(">5I", 0x0100_0007, 3, 48, len(intel), 0) + struct.pack(">5I", 0x0100_000C, 0, 53, 9, 0)
    universal = b"\xca\xfe\xba\xbe" + struct.pack(">I", 2) + slices + intel + arm
    assert thinned_binary(universal) == arm
    assert thinned_binary(arm) is arm


def git(repository: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, encoding="utf-8").stdout


def test_the_next_version_is_a_small_difference_to_git(builder_pex: Path, copy: Path, tmp_path: Path) -> None:
    with (copy / "builder" / "deploy.py").open("a") as stream:
        stream.write("# changed\n")
    with (copy / "scripts" / "builder_pex_boot.py").open("a") as stream:
        stream.write("# changed\n")
    build_builder(sys.executable, copy, tmp_path / "next")
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    for version in (builder_pex, tmp_path / "next" / "builder.pex"):
        shutil.copy2(version, repository / "builder.pex")
        git(repository, "add", "builder.pex")
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        git(repository, *identity, "commit", "--quiet", "--message=another")
    git(repository, "repack", "-adfq")
    shape = "--batch-check=%(objectsize:disk) %(objecttype)"
    shown = git(repository, "cat-file", shape, "--batch-all-objects")
    sizes = sorted(int(line.split()[0]) for line in shown.splitlines() if line.endswith(" blob"))
    shutil.rmtree(repository)
    assert sizes[0] * 10 < sizes[1]


def test_is_described_beside_it(builder_pex: Path) -> None:
    described = json.loads(builder_pex.with_name("builder.pex.json").read_text())
    check_schema("builder-pex", described)
    assert described["sha256"] == storage.sha256_of(builder_pex)
    assert described["size"] == builder_pex.stat().st_size
    assert described["lock"] == storage.sha256_of(REPOSITORY / "Pipfile.lock")
