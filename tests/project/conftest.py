"""A project under test: an empty directory and a way to fill it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.selection import Write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def write(project: Path) -> Write:
    def write(*names: str, text: str = "x") -> Path:
        for name in names:
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return project / names[-1]

    return write
