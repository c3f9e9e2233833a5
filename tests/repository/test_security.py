"""SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.programs import REPOSITORY

TEXT = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def test_each_promise_names_a_test() -> None:
    rows = re.findall(r"^\| (?!---|promise).*$", TEXT.partition("## Promises")[2], re.MULTILINE)
    assert len(rows) > 20
    assert not [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", row)]


@pytest.mark.parametrize("path, name", PROMISES, ids=lambda value: value.rpartition("/")[2])
def test_each_promise_has_its_test(path: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
