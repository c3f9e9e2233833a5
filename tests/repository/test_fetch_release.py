"""Fetching the last release into a shallow clone, as the workflows have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import REPOSITORY
from tests.support.repositories import Repository, git


def _fetch_release(clone: Path) -> str:
    argv = [REPOSITORY / "scripts" / "fetch-release.sh", clone]
    return subprocess.run(argv, check=True, capture_output=True, encoding="utf-8").stderr


@pytest.mark.parametrize("tag", ["1.13.29", "release-1.13.29"])
def test_the_newest_tag_of_a_release_is_fetched_with_its_files_and_no_other(tmp_path: Path, tag: str) -> None:
    origin = Repository.create(tmp_path / "origin")
    for name in ("1.13.9", tag, "release-1.14.0", "1.14.0rc1"):
        (origin.path / "version").write_text(name)
        origin.git("add", "version")
        origin.git("commit", "-q", "-m", name)
        origin.git("tag", name)
    git(tmp_path, "clone", "-q", "--depth", "1", "--no-tags", origin.path.as_uri(), "clone")

    _fetch_release(tmp_path / "clone")

    newest = "1.13.29" if tag == "1.13.29" else "1.13.9"
    assert git(tmp_path / "clone", "tag", "--list") == newest
    assert git(tmp_path / "clone", "show", f"{newest}:version") == newest


def test_where_there_is_none_the_job_goes_on(tmp_path: Path) -> None:
    clone = Repository.create(tmp_path / "clone")

    assert "No tag of a release was fetched" in _fetch_release(clone.path)
