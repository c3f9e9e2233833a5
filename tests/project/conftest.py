"""A project under test: an empty directory and a way to fill it, or a place for a tree of `tests/projects`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.selection import Write, writer


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def write(project: Path) -> Write:
    return writer(project)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the test's project lies; the manifest above it is none of its business."""
    (tmp_path / "requirements.txt").write_text("wrong\n")
    return tmp_path / "root"
