"""A project under test: an empty directory and a way to fill it."""

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
