"""SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.programs import REPOSITORY

PROMISES = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8"))


def test_there_are_promises() -> None:
    assert len(PROMISES) > 20


@pytest.mark.parametrize("path, name", PROMISES, ids=lambda value: value.rpartition("/")[2])
def test_each_promise_has_its_test(path: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
