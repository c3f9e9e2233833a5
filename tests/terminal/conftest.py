"""A place for tiny commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_commands import Commands


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)
