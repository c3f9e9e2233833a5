"""How builder.pex is built: the same everywhere, from what the lock knows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from builder.system import storage
from tests.conftest import build_builder
from tests.support.pythons import any_python
from tests.support.running_pex import link, run, said, write_program

LARGE = 1_000_000
"""Bytes of a stream that takes seconds to compress."""


def test_same_bytes_everywhere(builder_pex: Path, copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "the other"
    kept = storage.cache_directory() / "build" / "streams"
    streams = sorted(kept.glob("*/*/stream.xz"))
    small = [stream for stream in streams if stream.stat().st_size < LARGE]
    assert len(small) > 4
    # The other Python's liblzma compresses the small streams only; release.yml has another machine make them all.
    for stream in set(streams) - set(small):
        place = tmp_path / "cache" / "build" / "streams" / stream.relative_to(kept)
        place.parent.mkdir(parents=True)
        place.hardlink_to(stream)
    # Another directory, and another Python with another pip, which fetches everything anew.
    build_builder(
        any_python("3.12"),
        copy,
        other,
        umask=0o77,
        TZ="Asia/Kathmandu",
        LC_ALL="C",
        BUILDER_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert storage.sha256_of(builder_pex) == storage.sha256_of(other / "builder.pex")
    assert os.access(other / "builder.pex", os.X_OK)


def test_the_build_script_finds_a_python_and_obeys_its_argument(copy: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.11", "python3.12"):
        write_program(shims / name, "exit 127")
    link(shims / "python", sys.executable)
    finished = run([copy / "build-builder.sh", tmp_path / "out"], env={"PATH": f"{shims}:/usr/bin:/bin"})
    assert f"wrote {tmp_path / 'out' / 'builder.pex'}" in said(finished)
    assert (tmp_path / "out" / "builder.pex").exists()


@pytest.mark.network
def test_a_file_that_the_lock_does_not_know_is_refused(copy: Path, tmp_path: Path) -> None:
    lock = json.loads((copy / "Pipfile.lock").read_text())
    lock["default"]["mdurl"]["hashes"] = ["sha256:" + "0" * 64]
    (copy / "Pipfile.lock").write_text(json.dumps(lock))
    finished = run([sys.executable, "-B", copy / "scripts" / "build_builder.py", tmp_path / "out"])
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "mdurl" in finished.stderr
    assert not (tmp_path / "out").exists()
