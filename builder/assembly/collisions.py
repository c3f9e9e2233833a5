"""Files that two wheels install under one name with different content, where it matters which of them is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from builder.assembly.archive import Member, content_of
from builder.errors import AssemblyError, Notice
from builder.terminal.formatting import quoted

_EXAMPLES: Final = 3

_LARGEST_NAMESPACE: Final = 100_000
"""Bytes: a longer `__init__.py` does more than declare a namespace."""

_UNUSED: Final = re.compile(r"(?:tests?|docs?|examples|benchmarks)/|[^/]+(?<!\.py)(?<!\.so)(?<!\.pth)$")
"""What no code imports: tests and documents at the top of `site-packages`."""

_NAMESPACE_MODULES: Final = {"pkgutil", "pkg_resources"}
_NAMESPACE: Final = re.compile(r"\b(?:extend_path|declare_namespace)\b")


class Collisions:
    """Collects the files that wheels share."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], list[str]] = {}

    def add(self, name: str, first: tuple[str, Member], second: tuple[str, Member]) -> None:
        """Note two files of one name, each with its wheel, unless nothing depends on which of them is there."""
        if first[1].crc == second[1].crc or _UNUSED.match(name):
            return
        if name.endswith("/__init__.py") and _declares_namespace(first[1]) and _declares_namespace(second[1]):
            return
        self._shared.setdefault((first[0], second[0]), []).append(name)

    def notices(self, result: str) -> Iterator[Notice]:
        """A notice for each two wheels.

        :param result: what becomes of the files, with `{first}` for the first wheel.
        """
        for (first, second), names in self._shared.items():
            yield Notice(
                f"`{first}` and `{second}` both install {quoted(names, _EXAMPLES)}{result.format(first=first)};"
                " if your code uses them, require only one of the two"
            )


def _declares_namespace(member: Member) -> bool:
    """Whether an `__init__.py` does nothing but declare a namespace package, as those of dbt's adapters do."""
    if member.size > _LARGEST_NAMESPACE:
        return False
    try:
        tree = ast.parse(content_of(member))
    except (SyntaxError, ValueError, AssemblyError):
        return False
    return all(_is_of_namespace(statement) for statement in tree.body)


def _is_of_namespace(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Import(names=names):
            return {alias.name for alias in names} <= _NAMESPACE_MODULES
        case ast.ImportFrom(module=module):
            return module in _NAMESPACE_MODULES or module == "__future__"
        case ast.Assign() | ast.Expr() | ast.Try():
            return _NAMESPACE.search(ast.unparse(statement)) is not None
    return False
