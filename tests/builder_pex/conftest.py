"""What the tests of builder.pex share: its sources in another place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, builder_sources


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of builder.pex in another place, safe from being edited meanwhile."""
    directory = tmp_path / "a clone"
    for path in builder_sources():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / path, directory / path)
    return directory
