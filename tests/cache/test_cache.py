"""The cache directory: what it holds, what is removed and what stays; and uv in it, which heals."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cache import __main__ as command
from builder.cache import entries as cache
from builder.errors import BuilderError, UsageError
from builder.resolution import uv
from builder.system import storage

DAY = 86400


def put(path: Path, size: int, *, days: float, now: float) -> Path:
    """A file of the cache that was last used so many days ago; its directory is as old."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    for each in (path, path.parent):
        os.utime(each, (now - days * DAY, now - days * DAY))
    return path


@pytest.fixture
def now() -> float:
    return time.time()


def test_contents_are_named_by_kind_with_the_largest_first(empty_cache: Path, now: float) -> None:
    put(empty_cache / "sha256/ab/abc/a-1.0.whl", 100, days=0, now=now)
    put(empty_cache / "sha256/ab/abd/b-1.0.whl", 100, days=0, now=now)
    put(empty_cache / "boot/0123/builder/__init__.py", 1000, days=0, now=now)
    put(empty_cache / "uv/simple/index", 10, days=0, now=now)
    (empty_cache / "verify/deps").mkdir(parents=True)
    (empty_cache / "verify/deps/0123.lock").touch()
    assert cache.contents() == [
        cache.Contents("unpacked builders", 1, 1000),
        cache.Contents("wheels and sdists", 2, 200),
        cache.Contents("uv's own cache", 1, 10),
    ]


def test_unused_entries_go_after_thirty_days(empty_cache: Path, now: float) -> None:
    old = put(empty_cache / "sha256/ab/abc/a-1.0.whl", 100, days=31, now=now)
    new = put(empty_cache / "sha256/ab/abd/b-1.0.whl", 100, days=29, now=now)
    unpacked = put(empty_cache / "verify/deps/0123/stamp", 10, days=31, now=now)
    # Not the directory's time counts, but that of the file which each use touches.
    used = put(empty_cache / "preview/webserver-1/stamp", 10, days=1, now=now)
    os.utime(used.parent, (0, 0))
    removal = cache.prune()
    assert [path.exists() for path in (old, new, unpacked, used)] == [False, True, False, True]
    assert (removal.entries, removal.before, removal.after) == (2, 220, 110)


def test_above_the_limit_what_was_used_longest_ago_goes(
    empty_cache: Path, now: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [
        put(empty_cache / f"sha256/ab/{days}/a.whl", 1000, days=days, now=now) for days in (5.0, 3.0, 1.0, 0.01)
    ]
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0.000002")
    assert cache.prune().after == 2000
    assert [path.exists() for path in paths] == [False, False, True, True]
    # Another run may be using what was used within the hour.
    monkeypatch.setenv(cache.SIZE_VARIABLE, "0")
    cache.prune()
    assert [path.exists() for path in paths] == [False, False, False, True]


@pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(cache.SIZE_VARIABLE, text)
    with pytest.raises(UsageError, match=f"BUILDER_CACHE_MAX_GB is `{text}`"):
        cache.prune()
    assert not (empty_cache / "sha256").exists()


def test_leftovers_of_killed_runs_go_after_a_day(
    empty_cache: Path, now: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    places = (empty_cache, empty_cache / "sha256/ab/abc", empty_cache / "tools", tmp_path)
    old = [put(place / ".builder-tmp-old", 10, days=1.1, now=now) for place in places]
    old.append(put(tmp_path / ".builder-tmp-scratch/file", 10, days=1.1, now=now).parent)
    new = [put(place / ".builder-tmp-new", 10, days=0.9, now=now) for place in places]
    cache.prune()
    assert [path for path in old if path.exists()] == []
    assert [path for path in new if not path.exists()] == []


def test_builds_prune_once_a_day(empty_cache: Path, now: float) -> None:
    old = put(empty_cache / "sha256/ab/abc/a-1.0.whl", 100, days=31, now=now)
    cache.prune_when_due()
    assert not old.exists()
    old = put(old, 100, days=31, now=now)
    cache.prune_when_due()
    assert old.exists()
    os.utime(empty_cache / ".pruned", (now - 1.1 * DAY, now - 1.1 * DAY))
    cache.prune_when_due()
    assert not old.exists()


def test_a_use_is_noted(empty_cache: Path, now: float) -> None:
    path = put(empty_cache / "sha256/ab/abc/a-1.0.whl", 100, days=31, now=now)
    storage.mark_used(path)
    cache.prune()
    assert path.exists()


def test_the_command_says_the_sizes(empty_cache: Path, now: float) -> None:
    put(empty_cache / "sha256/ab/abc/a-1.0.whl", 1500, days=31, now=now)
    put(empty_cache / "boot/0123/x", 500, days=0, now=now)
    pruned = CliRunner().invoke(command.main, ["prune"])
    assert pruned.output == f"removed 1 entry from `{empty_cache}`: 2.0 kB before, 500 B now\n"
    cleared = CliRunner().invoke(command.main, ["clear"])
    assert cleared.output == f"removed 1 entry from `{empty_cache}`: 500 B before, 0 B now\n"
    assert [path for path in empty_cache.rglob("*") if path.is_file() and path.name != ".pruned"] == []


@pytest.fixture
def own_uv(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> Path:
    """The pinned uv in a cache of the test's own."""
    monkeypatch.delenv("BUILDER_CACHE_DIR")
    assert pytestconfig.cache is not None
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(pytestconfig.cache.mkdir("builder")))
    uv.executable.cache_clear()
    shared = uv.executable()
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(empty_cache))
    uv.executable.cache_clear()
    shutil.copytree(shared.parent, empty_cache / "tools" / shared.parent.name)
    return empty_cache / "tools" / shared.parent.name / "uv"


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "flipped unnoticed"])
def test_a_damaged_uv_is_fetched_again(own_uv: Path, damage: str) -> None:
    good = own_uv.read_bytes()
    status = own_uv.stat()
    if damage == "cut":
        os.truncate(own_uv, len(good) // 2)
    elif damage == "empty":
        os.truncate(own_uv, 0)
    else:
        # The first bytes say that it is a program.
        own_uv.write_bytes(b"\0" + good[1:])
        if damage == "flipped unnoticed":
            os.utime(own_uv, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert uv.run(["--version"]).stdout.startswith(f"uv {uv.pinned_version()}")
    assert own_uv.read_bytes() == good


def test_a_failure_of_a_good_uv_is_its_own(own_uv: Path) -> None:
    inode = own_uv.stat().st_ino
    with pytest.raises(BuilderError, match="failed with exit code 2"):
        uv.run(["no-such-command"])
    assert own_uv.stat().st_ino == inode
