"""What says something of a project's requirements, and is not read, is named with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.requirements import package, read, write

OVERRIDES = '[tool.pdm.resolution.overrides]\nsix = "1.15.0"\n'
PIXI = '[tool.pixi.pypi-dependencies]\nattrs = "*"\n'


@pytest.mark.parametrize(
    "more, file, where, words",
    [
        ("", "poetry.lock", "poetry.lock", "poetry export"),
        (
            "[tool.rye]\nmanaged = true\n",
            "requirements.lock",
            "requirements.lock",
            "a copy of it as requirements.txt",
        ),
        ("", "pylock.prod.toml", "pylock.prod.toml", "rename it"),
        ("", "pixi.toml", "pixi.toml", "no conda"),
        (PIXI, "README.md", "pyproject.toml:10", "has to be in `[project] dependencies`"),
        (OVERRIDES, "README.md", "pyproject.toml:10", "pdm lock"),
        ("", "requirements.lock", None, ""),
        ("[tool.pdm.resolution]\nallow-prereleases = true\n", "README.md", None, ""),
    ],
)
def test_it_is_named(tmp_path: Path, more: str, file: str, where: str | None, words: str) -> None:
    package(tmp_path, "app", "six", more=more)
    write(tmp_path / file, "")
    notices = read(tmp_path).notices
    assert [str(notice.where) for notice in notices] == ([str(tmp_path / where)] if where else [])
    assert all(words in notice.text for notice in notices)


def test_beside_a_lock_that_is_obeyed_others_are_no_matter(tmp_path: Path) -> None:
    package(tmp_path, "app", "six", more=OVERRIDES)
    write(tmp_path / "pylock.toml", "")
    write(tmp_path / "pylock.dev.toml", "")
    assert not read(tmp_path).notices
