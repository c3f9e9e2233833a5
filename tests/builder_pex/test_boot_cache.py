"""The cache that builder.pex unpacks itself into: shared, healed, and left whole however a start ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from builder_pex_boot import caches

from builder.system import storage
from tests.support.running_pex import refused, run, said


def test_uses_the_same_cache_as_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(caches()) == str(storage.cache_directory())
    monkeypatch.delenv("BUILDER_CACHE_DIR")
    assert next(caches()) == str(storage.cache_directory())


def test_unpacks_elsewhere_when_the_cache_cannot_be_written(builder_pex: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"BUILDER_CACHE_DIR": str(tmp_path / "file" / "cache"), "TMPDIR": str(tmp_path)}
    assert "pip 2" in said(run([sys.executable, builder_pex, "-m", "pip", "--version"], env=env))
    (own,) = tmp_path.glob("dagster-builder-*")
    assert own.stat().st_mode & 0o777 == 0o700

    # Where others can write, they could have put anything.
    own.chmod(0o777)
    line = refused(run([sys.executable, builder_pex, "-m", "pip", "--version"], env=env))
    assert "set BUILDER_CACHE_DIR to a writable directory" in line


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_heals_its_cache(builder_pex: Path, empty_cache: Path, damage: str) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "pip", "--version"]
    said(run(command))
    (victim,) = empty_cache.glob("boot/*/pip/__main__.py")
    content = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"" if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    assert "pip 2" in said(run(command))
    assert victim.read_bytes() == content
    assert len(list((empty_cache / "boot").iterdir())) == 1


@pytest.mark.parametrize("kind", ["source", "bytecode"])
@pytest.mark.parametrize("module", ["builder/diff.py", "builder/resolution/lock_diff.py"])
def test_heals_what_only_a_failure_shows(builder_pex: Path, empty_cache: Path, kind: str, module: str) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "builder.diff", "one.toml", "other.toml"]
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    assert "builder.pex: unpacked into its cache, once  " in run(command, cwd=builder_pex.parent, env=env).stderr
    right = run(command, cwd=builder_pex.parent, env=env)
    assert "one.toml" in right.stderr.splitlines()[0]
    (source,) = empty_cache.glob(f"boot/*/{module}")
    bytecode = Path(cache_from_source(str(source)))
    if kind == "source":
        bytecode.unlink(missing_ok=True)
        damage_keeping_the_time(source)
    else:
        content = bytearray(bytecode.read_bytes())
        content[16] = 0  # No object of marshal begins so.
        bytecode.write_bytes(content)
    healed = run(command, cwd=builder_pex.parent, env=env)
    assert healed.stderr == "builder.pex: damaged files in the cache were replaced; running again\n" + right.stderr
    assert (healed.stdout, healed.returncode) == (right.stdout, right.returncode)
    assert run(command, cwd=builder_pex.parent, env=env).stderr == right.stderr


def damage_keeping_the_time(source: Path) -> None:
    """Damage a module as a disk would: neither its size nor its time of change tells of it."""
    status = source.stat()
    content = source.read_bytes()
    damaged = content.replace(b"from __future__ import annotations", b"from __future__ import annotationr")
    assert damaged != content
    source.write_bytes(damaged)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_defect_does_not_start_it_anew(builder_pex: Path, empty_cache: Path) -> None:
    finished = run([sys.executable, builder_pex, "-m", "timeit", "--number=1", "1/0"])
    assert empty_cache.exists()
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr
    assert "running again" not in finished.stderr


def test_a_copied_cache_is_good(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "pip", "--version"]
    said(run(command))
    # Without the times, which is what the first look compares.
    copied = tmp_path / "copied"
    shutil.copytree(empty_cache, copied, copy_function=shutil.copyfile)
    before = {path: path.stat().st_ino for path in copied.glob("boot/*/pip/*.py")}
    assert "pip 2" in said(run(command, env={"BUILDER_CACHE_DIR": str(copied)}))
    assert {path: path.stat().st_ino for path in before} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_it_unpacks_leaves_nothing(
    builder_pex: Path, empty_cache: Path, number: signal.Signals
) -> None:
    started = subprocess.Popen(
        [sys.executable, builder_pex, "-m", "builder.selftest", "--offline"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    while not list(empty_cache.glob("boot/.builder-tmp-*/*")):
        assert started.poll() is None
    started.send_signal(number)
    _stdout, stderr = started.communicate()
    assert started.returncode == 128 + number
    assert "Traceback" not in stderr
    assert list(empty_cache.glob("boot/.builder-tmp-*")) == []


def test_what_a_killed_start_left_goes_after_a_day(builder_pex: Path, empty_cache: Path) -> None:
    leftovers = [empty_cache / "boot" / f".builder-tmp-{age}" for age in ("old", "new")]
    for leftover in leftovers:
        (leftover / "pip").mkdir(parents=True)
    yesterday = time.time() - 90_000
    os.utime(leftovers[0], (yesterday, yesterday))
    said(run([sys.executable, builder_pex, "-m", "pip", "--version"]))
    assert [leftover.exists() for leftover in leftovers] == [False, True]


def test_several_starts_at_once(builder_pex: Path, empty_cache: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, builder_pex, "-m", "pip", "--version"], stdout=subprocess.PIPE, encoding="utf-8"
        )
        for _ in range(4)
    ]
    answers = [start.communicate()[0] for start in starts]
    assert all(answer.startswith("pip 2") for answer in answers)
    assert len(list((empty_cache / "boot").iterdir())) == 1


def test_a_damaged_file_is_told_from_a_good_one(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    damaged = tmp_path / "builder.pex"
    shutil.copy2(builder_pex, damaged)
    with zipfile.ZipFile(builder_pex) as archive:
        (wheel,) = (info for info in archive.infolist() if info.filename.startswith("click-"))
    with damaged.open("r+b") as stream:
        stream.seek(wheel.header_offset + 1000)
        stream.write(b"not what was there before")
    assert "the file is damaged" in refused(run([sys.executable, damaged, "-m", "pip", "--version"]))
    assert list((empty_cache / "boot").iterdir()) == []
