"""What the tests of resolving share: the place of a checkout, and a project with two package indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.resolution import uv
from tests.support.indexed_project import SECRET, IndexedProject, put_dagster
from tests.support.pypi import PypiHost, pypi_host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkout" / "tree"


@pytest.fixture(scope="session")
def host() -> Iterator[PypiHost]:
    with pypi_host() as made:
        yield made


@pytest.fixture
def indexed(host: PypiHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexedProject:
    monkeypatch.setenv("BUILDER_UV", str(uv.executable()))
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # uv's retries wait for seconds, and are not tested here.
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    public = host.serve(tmp_path / "public")
    put_dagster(public)
    private = host.serve(tmp_path / "private", password=SECRET)
    return IndexedProject(tmp_path, public, private, monkeypatch)
