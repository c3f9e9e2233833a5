"""uv is fetched ahead of what needs it, with a line of its own, once for all that wait for it."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.building.steps import fetch_uv
from builder.errors import ToolError
from builder.resolution import uv
from builder.system import process


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> Path:
    """A directory that pip fetches a made-up uv from, into an empty cache."""
    assert not empty_cache.exists()
    wheel = tmp_path / "shelf" / "uv-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("uv-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: uv\nVersion: 1.0\n")
        archive.writestr(
            "uv-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("uv-1.0.dist-info/RECORD", "")
        archive.writestr("uv-1.0.data/scripts/uv", "#!/bin/sh\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(uv, "_pin_text", lambda: f"uv==1.0 --hash=sha256:{digest}\n")
    monkeypatch.delenv("BUILDER_UV", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel.parent


def project(root: Path, *files: str) -> Path:
    root.mkdir()
    for name in files:
        (root / name).touch()
    return root


def test_fetching_uv_has_a_line_of_its_own(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = project(shelf.parent / "project", "requirements.txt")
    locked = project(shelf.parent / "locked", "pylock.toml")
    fetch_uv([locked])
    assert not uv.is_here(), "a pylock.toml is read without uv"
    fetch_uv([locked, asked])
    assert uv.is_here()
    assert "✓ fetched uv 1.0  " in capsys.readouterr().err
    fetch_uv([asked])
    assert capsys.readouterr().err == ""


def test_who_needs_uv_tells_that_it_cannot_be_fetched(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shelf / "uv-1.0-py3-none-any.whl").unlink()
    fetch_uv([project(shelf.parent / "project", "requirements.txt")])
    assert capsys.readouterr().err == ""
    with pytest.raises(ToolError, match=r"uv 1\.0 could not be fetched"):
        uv.fetch()


def test_threads_that_wait_for_uv_share_a_failure(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shelf.is_dir()
    begun, go_on = threading.Event(), threading.Event()
    tries = []

    def failing(module: str, *_: object, **__: object) -> None:
        tries.append(module)
        begun.set()
        assert go_on.wait(10)
        raise process.ProcessFailed([module], 1, "", "no network")

    monkeypatch.setattr(process, "run_module", failing)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(uv.fetch)
        assert begun.wait(10)
        second = pool.submit(uv.fetch)
        threading.Timer(0.2, go_on.set).start()
        for one in (first, second):
            with pytest.raises(ToolError, match="could not be fetched"):
                one.result()
    assert tries == ["pip"]
