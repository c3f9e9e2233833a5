"""Pipfile.lock: hashed, for every platform, and without a word on where the files come from."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from tests.conftest import REPOSITORY

LOCK: dict[str, Any] = json.loads((REPOSITORY / "Pipfile.lock").read_text(encoding="utf-8"))
PIPFILE = tomllib.loads((REPOSITORY / "Pipfile").read_text(encoding="utf-8"))


def test_names_no_index() -> None:
    assert "source" not in PIPFILE
    assert LOCK["_meta"]["sources"] == []
    assert "://" not in (REPOSITORY / "Pipfile.lock").read_text(encoding="utf-8")


def test_every_file_has_a_hash() -> None:
    for section in ("default", "develop"):
        for name, entry in LOCK[section].items():
            assert entry["hashes"], name
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in entry["hashes"])


def test_holds_what_pipfile_asks_for() -> None:
    assert PIPFILE["packages"].keys() <= LOCK["default"].keys()
    assert PIPFILE["dev-packages"].keys() <= LOCK["develop"].keys()


def test_one_dagster_everywhere() -> None:
    both = {**LOCK["develop"], **LOCK["default"]}
    names = ("dagster", "dagster-cloud", "dagster-cloud-cli", "dagster-shared", "dagster-pipes")
    assert len({both[name]["version"] for name in names}) == 1


def test_tests_run_what_is_shipped() -> None:
    shared = LOCK["default"].keys() & LOCK["develop"].keys()
    assert {LOCK["default"][name]["version"] == LOCK["develop"][name]["version"] for name in shared} == {True}
