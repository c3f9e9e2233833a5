"""What the tests of resolving share: the place of a checkout, and a project with two package indexes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.resolution import uv
from tests.support.index import Index, serving
from tests.support.indexed_project import SECRET, IndexedProject, put_dagster


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkout" / "tree"


@pytest.fixture
def serve() -> Iterator[Callable[..., Index]]:
    """Has an index serve a directory until the end of the test; see `serving`."""
    with contextlib.ExitStack() as stack:
        yield lambda directory, **options: stack.enter_context(serving(directory, **options))


@pytest.fixture
def indexed(serve: Callable[..., Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IndexedProject:
    monkeypatch.setenv("BUILDER_UV", str(uv.executable()))
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    # uv's retries wait for seconds, and are not tested here.
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    public = serve(tmp_path / "public")
    put_dagster(public)
    private = serve(tmp_path / "private", password=SECRET)
    return IndexedProject(tmp_path, public, private, monkeypatch)
