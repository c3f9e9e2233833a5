"""scripts/digest-of.sh: what one job hands to another is what it made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import REPOSITORY


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [REPOSITORY / "scripts" / "digest-of.sh", *words]
    return subprocess.run(argv, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize("change", ["", "content", "name", "more", "less", "empty"])
def test_a_directory_is_the_one_that_was_made_or_refused(change: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "blobs").mkdir(parents=True)
    (made / "blobs" / "one two").write_text("content")
    (made / "index.json").write_text("{}")
    digest = _run(made).stdout.strip()
    if change == "content":
        (made / "blobs" / "one two").write_text("changed")
    elif change == "name":
        (made / "index.json").rename(made / "other.json")
    elif change == "more":
        (made / "more").write_text("")
    elif change == "less":
        (made / "index.json").unlink()
    ran = _run(made, "" if change == "empty" else digest)
    assert ran.returncode == (1 if change else 0)
    assert ("are not those that were made" in ran.stderr) == bool(change)


def test_two_copies_have_one_digest_and_no_files_have_one_too(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    assert _run(tmp_path / "one").stdout == _run(tmp_path / "other").stdout != ""
    assert _run(tmp_path / "missing").returncode != 0
