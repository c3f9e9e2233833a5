"""`docs/architecture.md` says which package of builder/ may import which; the code does not do otherwise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import REPOSITORY

PACKAGE = REPOSITORY / "builder"


def layers() -> dict[str, int]:
    """The packages that the picture names, each with its line."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"```text\n(commands .*?)```", text, re.DOTALL)
    rows = (re.split(r" {4,}", line, maxsplit=1)[0].split() for line in picture.splitlines())
    return {name: row for row, names in enumerate(rows) for name in names}


def package_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if len(parts) > 1 and parts[1] != "__main__":
        return parts[0]
    return "errors" if parts[0] == "errors" else "commands"


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("builder."):
            yield node.module.split(".")[1]


def test_the_picture_names_every_package() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(layers()) == packages | {"commands", "errors"}


def test_imports_point_down_the_picture() -> None:
    line = layers()
    upward = [
        f"{path.relative_to(REPOSITORY)} imports {other}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for other in imported(path)
        if (package := package_of(path)) != other and line[other] <= line[package]
    ]
    assert upward == []
