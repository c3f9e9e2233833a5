"""Versions with which the code server crashes are not chosen, and named where a project or its lock has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.project.requirements import RequestedExtras
from builder.resolution.resolve import Resolution, resolve
from builder.resolution.target import serverless_target
from tests.support.commands import DAGSTER, write_tree
from tests.support.index import Index, serving
from tests.support.requirements import read
from tests.support.wheels import make_wheel

BAD = ["dagster", "dagster-cloud", "grpcio-health-checking==1.82.0"]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> Iterator[Index]:
    assert not empty_cache.exists()
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    make_wheel(shelf, {}, name="dagster", version=DAGSTER, requires=["grpcio-health-checking", "protobuf"])
    make_wheel(shelf, {}, name="dagster-cloud", version=DAGSTER)
    make_wheel(shelf, {}, name="protobuf", version="6.33.0")
    for version in ("1.81.0", "1.82.0"):
        make_wheel(shelf, {}, name="grpcio-health-checking", version=version)
    with serving(shelf) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


def resolved(project: Path, *lines: str) -> Resolution:
    write_tree(project, {"requirements.txt": "".join(f"{line}\n" for line in lines)})
    return resolve(read(project, RequestedExtras()), serverless_target("3.11"))


def said(resolution: Resolution) -> list[str]:
    return [str(notice) for notice in resolution.notices if "grpcio" in notice.text]


def test_a_known_constraint_acts_only_where_it_must(index: Index, tmp_path: Path) -> None:
    acted = resolved(tmp_path / "project", "dagster", "dagster-cloud")
    assert acted.lock.version_of("grpcio-health-checking") == "1.81.0"
    (text,) = said(acted)
    assert "`grpcio-health-checking==1.81.0` instead of 1.82.0: its generated code needs protobuf 7" in text
    # What the project names is its own decision, of which it is warned.
    (text,) = said(resolved(tmp_path / "project", *BAD))
    assert "requirements.txt" in text
    assert "line=3" in text
    assert "beside `protobuf==6.33.0`: its generated code needs protobuf 7" in text
    assert "require `grpcio-health-checking!=1.82.0`" in text
    make_wheel(index.directory, {}, name="protobuf", version="7.0.0")
    assert not said(resolved(tmp_path / "project", *BAD))
    make_wheel(index.directory, {}, name="grpcio-health-checking", version="1.83.0")
    newer = resolved(tmp_path / "project", "dagster", "dagster-cloud")
    assert newer.lock.version_of("grpcio-health-checking") == "1.83.0"
    assert not said(newer)


def test_nothing_is_resolved_twice_where_the_excluded_version_is_yanked(index: Index, tmp_path: Path) -> None:
    index.yanked.add("grpcio_health_checking-1.82.0-py3-none-any.whl")
    resolution = resolved(tmp_path / "project", "dagster", "dagster-cloud")
    assert resolution.lock.version_of("grpcio-health-checking") == "1.81.0"
    assert not said(resolution)
    assert index.pages().count("dagster") == 1
