"""What happens around a build: networks that fail, disks that fill up, signals, several builders at once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, Workshop, have_ended, workshop
from tests.support.index import Fault
from tests.support.schemas import check_schema
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.slow

DAGSTER = "dagster-1.13.27-py3-none-any.whl"
PROMPTLY = 15
"""Seconds: far more than an orderly end takes, far less than any time limit of uv's or of a transfer."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


def stored(place: Workshop) -> list[str]:
    """The names of the files in the wheel store."""
    store = place.cache / "sha256"
    return sorted(path.name for path in store.rglob("*") if path.is_file())


def assert_whole(place: Workshop) -> None:
    """Every PEX in the output directory is a readable zip file whose wheels' bytes are intact."""
    pexes = list(place.out.glob("*.pex"))
    assert pexes
    for path in pexes:
        with zipfile.ZipFile(path) as pex:
            assert pex.testzip() is None


# Networks


@pytest.mark.parametrize("command", ["deps", "deploy"])
def test_an_index_that_nobody_serves_is_told_in_one_message(place: Workshop, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    workspace = one_location(place)
    nowhere = f"http://127.0.0.1:{port}/simple/"
    asked = workspace if command == "deploy" else workspace.parent
    error = place.run(command, asked, place.out, env={"UV_DEFAULT_INDEX": nowhere}).failed()
    assert "the package index `127.0.0.1` cannot be reached" in error
    assert nowhere in error
    assert "hint: Check the index settings (UV_DEFAULT_INDEX, pip.conf), the network and the proxy" in error
    place.assert_clean()


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.BUSY])
def test_an_index_that_is_broken_is_told_in_one_message(place: Workshop, fault: Fault) -> None:
    place.index.misbehave("/simple/dagster/", fault)
    error = place.build(place.project()).failed()
    assert "the package index `127.0.0.1` cannot be reached" in error
    assert str(fault.value) in error
    place.assert_clean()


def test_a_wheel_that_the_index_lost_is_named_and_not_asked_for_again(place: Workshop) -> None:
    place.index.misbehave(DAGSTER, Fault.NOT_FOUND)
    error = place.build(place.project()).failed()
    assert f"{DAGSTER}: `127.0.0.1` answered with HTTP 404" in error
    assert "hint: " in error
    assert place.index.downloads().count(DAGSTER) == 1
    assert stored(place) == ["dagster_cloud-1.13.27-py3-none-any.whl"]
    assert place.artefacts() == []
    place.assert_clean()


@pytest.mark.parametrize("fault", [Fault.CORRUPT, Fault.CUT_OFF, Fault.BUSY, Fault.BROKEN])
def test_a_transfer_that_fails_once_is_tried_again(place: Workshop, fault: Fault) -> None:
    place.index.misbehave(DAGSTER, fault, times=1)
    place.build(place.project()).succeeded()
    assert place.index.downloads().count(DAGSTER) == 2
    assert_whole(place)
    place.assert_clean()


def test_a_wheel_whose_bytes_are_never_right_is_named_and_not_kept(place: Workshop) -> None:
    content = (place.index.directory / DAGSTER).read_bytes()
    place.index.misbehave(DAGSTER, Fault.CORRUPT)
    error = place.build(place.project()).failed()
    assert f"{DAGSTER}: its sha256 is " in error
    assert f"the lock says {hashlib.sha256(content).hexdigest()}" in error
    assert place.index.downloads().count(DAGSTER) > 2
    assert DAGSTER not in stored(place)
    assert place.artefacts() == []
    place.assert_clean()


@pytest.mark.parametrize("damage", [lambda content: content[:100], lambda content: content[:-1] + b"?"])
def test_a_damaged_wheel_in_the_store_is_fetched_again(place: Workshop, damage: object) -> None:
    assert callable(damage)
    project = place.project()
    place.build(project).succeeded()
    (path,) = (place.cache / "sha256").rglob(DAGSTER)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    before = {file.name: file.read_bytes() for file in place.out.iterdir()}
    place.build(project).succeeded()
    assert path.read_bytes() == content
    assert place.index.downloads().count(DAGSTER) == 2
    assert {file.name: file.read_bytes() for file in place.out.iterdir()} == before


def test_an_index_of_ones_own_is_asked_again_by_each_build(place: Workshop) -> None:
    del place.environment["UV_HTTP_RETRIES"]
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\ntool\n"})
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version="1.0")
    place.build(project).succeeded()
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version="1.1")
    place.build(project).succeeded()
    assert "tool-1.1-py3-none-any.whl" in place.index.downloads()


# Disks


def on_disk(
    place: Workshop, directory: Path, options: str, command: str, *arguments: str | Path
) -> tuple[Ran, list[str]]:
    """Run a command with a file system of its own on `directory`; also the names that are left there.

    The file system is mounted where only the command sees it, which takes root or user namespaces.
    """
    directory.mkdir(exist_ok=True)
    left = place.root / "left"
    script = (
        'mount -t tmpfs -o "$1" none "$2" || exit 99; directory=$2 left=$3; shift 3;'
        ' "$@"; code=$?; (cd "$directory" && find . -mindepth 1) >"$left"; exit $code'
    )
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    argv: list[str | Path] = [*unshare, "sh", "-c", script, "sh", options, directory, left]
    argv += [sys.executable, "-m", f"builder.{command}", *arguments]
    finished = subprocess.run(
        argv, env=place.environment, cwd=place.root, capture_output=True, encoding="utf-8", check=False
    )
    assert finished.returncode != 99, finished.stderr
    assert left.exists(), finished.stderr
    return Ran(finished.returncode, finished.stdout, finished.stderr), left.read_text().splitlines()


def one_location(place: Workshop) -> Path:
    workspace = place.project() / "dagster_cloud.yaml"
    workspace.write_text("locations:\n  - {location_name: one, code_source: {package_name: x}}\n")
    return workspace


@pytest.mark.parametrize("command", ["deps", "source", "deploy"])
def test_a_full_disk_under_the_output_directory_is_told_and_nothing_half_made_stays(
    place: Workshop, command: str
) -> None:
    workspace = one_location(place)
    asked = workspace if command == "deploy" else workspace.parent
    ran, left = on_disk(place, place.out, "size=256k", command, asked, place.out)
    error = ran.stderr[ran.stderr.index("error: ") :]
    assert ran.code == 1
    assert "No space left on device" in error
    assert f"hint: Free some space on the disk that holds `{place.out.name}`" in error
    assert "Traceback" not in ran.stderr
    assert left == (["./build.json"] if command == "deploy" else [])
    place.assert_clean()


@pytest.mark.parametrize("part", ["sha256", "uv", "../tmp"])
def test_a_full_disk_under_cache_or_temporary_directory_is_told(place: Workshop, part: str) -> None:
    make_wheel(place.index.directory, {"big.bin": os.urandom(1_000_000)}, name="big")
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\nbig\n"})
    # Where only small files are written, it is their number that there is no room for.
    size = "256k" if part == "sha256" else "256k,nr_inodes=2"
    directory = Path(os.path.normpath(place.cache / part))
    ran, left = on_disk(place, directory, f"size={size}", "deps", project, place.out)
    error = ran.failed()
    assert "No space left on device" in error
    assert "hint: Free some space" in error
    assert "builder itself" not in error
    assert not [name for name in left if "builder-tmp" in name]
    assert not [name for name in left if "big" in name]
    assert place.artefacts() == []
    place.assert_clean()


@pytest.mark.parametrize("part", ["out", "cache/sha256", "cache/uv"])
def test_a_read_only_directory_is_told(place: Workshop, part: str) -> None:
    ran, _left = on_disk(place, place.root / part, "ro", "deps", place.project(), place.out)
    error = ran.failed()
    assert "Read-only file system" in error
    assert "hint: Choose a directory on a writable file system" in error
    place.assert_clean()


@pytest.mark.parametrize("command", ["deps", "source"])
def test_a_file_in_place_of_the_cache_directory_is_told(place: Workshop, command: str) -> None:
    file = place.root / "a-file"
    file.write_text("mine")
    error = place.run(command, place.project(), place.out, env={"BUILDER_CACHE_DIR": str(file)}).failed()
    assert f"could not write `{file.name}" in error
    assert "hint: " in error
    assert "builder itself" not in error
    assert file.read_text() == "mine"
    place.assert_clean()


# Signals

STOPS = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]


@pytest.mark.parametrize("number, code", STOPS)
@pytest.mark.parametrize("command", ["deps", "deploy"])
def test_a_signal_while_resolving_ends_the_build_and_its_programs(
    place: Workshop, command: str, number: signal.Signals, code: int
) -> None:
    place.index.misbehave("/simple/dagster/", Fault.STALL)
    workspace = one_location(place)
    running = place.start(command, workspace if command == "deploy" else workspace.parent, place.out)
    place.index.wait_until_stalled()
    with running.programs() as programs:
        assert programs
        running.send(number)
        ran = running.finish(PROMPTLY)
        assert have_ended(programs)
    assert f"error: stopped by {number.name}" in ran.failed(code)
    # Source PEXes do not wait for the resolver.
    assert not [name for name in place.artefacts() if not name.startswith("source-")]
    place.assert_clean()


@pytest.mark.parametrize("number, code", STOPS[:2])
@pytest.mark.parametrize("command", ["deps", "deploy"])
def test_a_signal_while_fetching_ends_the_build(
    place: Workshop, command: str, number: signal.Signals, code: int
) -> None:
    place.index.misbehave(DAGSTER, Fault.STALL)
    workspace = one_location(place)
    running = place.start(command, workspace if command == "deploy" else workspace.parent, place.out)
    place.index.wait_until_stalled()
    running.send(number)
    ran = running.finish(PROMPTLY)
    assert f"error: stopped by {number.name}" in ran.failed(code)
    assert DAGSTER not in stored(place)
    assert not [name for name in place.artefacts() if not name.startswith("source-")]
    place.assert_clean()


def test_after_a_sudden_death_nothing_half_made_has_a_final_name_and_the_next_build_succeeds(
    place: Workshop,
) -> None:
    place.index.misbehave(DAGSTER, Fault.STALL, times=1)
    project = place.project()
    running = place.start("deps", project, place.out)
    place.index.wait_until_stalled()
    running.send(signal.SIGKILL)
    assert running.finish(PROMPTLY).code == -signal.SIGKILL
    assert DAGSTER not in stored(place)
    assert place.artefacts() == []
    place.build(project).succeeded()
    assert_whole(place)


# Several builders


def test_builders_that_start_at_once_on_an_empty_cache_all_succeed(place: Workshop) -> None:
    for number in range(12):
        make_wheel(place.index.directory, {f"part{number}.py": "x" * 100_000}, name=f"part{number}")
    needs = "".join(f"part{number}\n" for number in range(12))
    workspace = one_location(place)
    (workspace.parent / "requirements.txt").write_text(f"dagster\ndagster-cloud\n{needs}")
    builders = [place.start("deploy", workspace, place.out) for _ in range(3)]
    for builder in builders:
        builder.finish().succeeded()
    report = json.loads((place.out / "build.json").read_text())
    check_schema("build", report)
    (location,) = report["locations"]
    assert location["deps"]["distributions"] == 14
    for artefact in (location["deps"], location["source"]):
        content = (place.out / artefact["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == artefact["sha256"]
    assert_whole(place)
    place.assert_clean()
