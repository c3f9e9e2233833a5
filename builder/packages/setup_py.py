"""Reading the metadata in a setup.py without running it.

The setup.py files in older versions of dagster's repository compute their version and the pins on each other, and
have everything else as literals. Values that a function computes are unknown here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Origin, PackagesError


class _UnknownError(Exception):
    """The value is computed, so that it is only known when the file runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPy:
    """The arguments of `setup()`, as far as they are literals.

    :param name: as written; None if it is computed, or there is no call of `setup()`.
    :param version: None if it is computed.
    :param requires: the requirements, without computed parts such as a computed pin.
    :param extras: the requirements of all extras, likewise.
    :param complete: whether no requirement in `requires` and `extras` is missing because it is computed.
    :param texts: every string literal in the file, such as the path of the file with the version.
    """

    name: str | None
    version: str | None
    classifiers: tuple[str, ...]
    requires: tuple[str, ...]
    extras: tuple[str, ...]
    complete: bool
    texts: tuple[str, ...]


def parse_setup_py(text: str, path: Path) -> ast.Module:
    """Parse a setup.py; raises PackagesError, with the line, for invalid syntax."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise PackagesError(
            f"setup.py cannot be read: {error.args[0]}", where=Origin(path, line), remedy="Correct it"
        ) from error


def setup_call(tree: ast.Module) -> ast.Call | None:
    """Find the call of `setup()` or `setuptools.setup()`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)
            if name == "setup":
                return node
    return None


def read_setup_py(path: Path) -> SetupPy:
    """Read a setup.py; raises PackagesError, with the line, for invalid syntax."""
    tree = parse_setup_py(path.read_text(encoding="utf-8", errors="replace"), path)
    texts = tuple(
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    call = setup_call(tree)
    if call is None:
        return SetupPy(
            name=None, version=None, classifiers=(), requires=(), extras=(), complete=False, texts=texts
        )
    reader = _Reader(_assignments(tree))
    arguments = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    required, required_known = reader.list_of(arguments.get("install_requires"))
    extras, extras_known = reader.lists_of(arguments.get("extras_require"))
    classifiers, _ = reader.list_of(arguments.get("classifiers"))
    return SetupPy(
        name=reader.text(arguments.get("name")),
        version=reader.text(arguments.get("version")),
        classifiers=tuple(classifiers),
        requires=tuple(required),
        extras=tuple(extras),
        complete=required_known and extras_known,
        texts=texts,
    )


def _assignments(tree: ast.Module) -> Mapping[str, ast.expr]:
    """The values of module-level names that are assigned exactly once."""
    assignments: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            assignments[target.id] = value
    return assignments


class _Reader:
    """Evaluates literals, and names of literals."""

    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self._names = names

    def text(self, node: ast.expr | None) -> str | None:
        """A string; None if any part of it is computed."""
        try:
            value = self._value(node, depth=0)
        except _UnknownError:
            return None
        return value if isinstance(value, str) else None

    def list_of(self, node: ast.expr | None) -> tuple[list[str], bool]:
        """The strings of a list, and whether these are known to be all."""
        if node is None:
            return [], True
        texts: list[str] = []
        known = True
        for element in self._elements(node, depth=0):
            text = self._requirement(element) if element is not None else None
            known = known and text is not None
            texts += [text] if text is not None else []
        return texts, known

    def lists_of(self, node: ast.expr | None) -> tuple[list[str], bool]:
        """The strings of all lists in a mapping, and whether these are known to be all."""
        if node is None:
            return [], True
        if isinstance(node, ast.Name) and node.id in self._names:
            return self.lists_of(self._names[node.id])
        if not isinstance(node, ast.Dict):
            return [], False
        results = [self.list_of(value) for value in node.values]
        spread = any(key is None for key in node.keys)
        return [text for texts, _ in results for text in texts], not spread and all(known for _, known in results)

    def _elements(self, node: ast.expr, depth: int) -> list[ast.expr | None]:
        """The elements of a list literal, a sum of lists, or a named list; None for each computed part."""
        if depth > len(self._names):
            return [None]
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            elements: list[ast.expr | None] = []
            for element in node.elts:
                starred = isinstance(element, ast.Starred)
                elements += self._elements(element.value, depth + 1) if isinstance(element, ast.Starred) else []
                elements += [] if starred else [element]
            return elements
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [*self._elements(node.left, depth + 1), *self._elements(node.right, depth + 1)]
        if isinstance(node, ast.Name) and node.id in self._names:
            return self._elements(self._names[node.id], depth + 1)
        return [None]

    def _requirement(self, node: ast.expr) -> str | None:
        """A string without its computed parts: `dagster` for `f"dagster{pin}"`; None if all of it is computed."""
        if isinstance(node, ast.JoinedStr):
            parts = [
                self.text(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values
            ]
            return "".join(part or "" for part in parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self._requirement(node.left), self._requirement(node.right)]
            return "".join(side or "" for side in sides) if any(sides) else None
        return self.text(node)

    def _value(self, node: ast.expr | None, depth: int) -> object:
        if depth > len(self._names):
            raise _UnknownError
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name) and node.id in self._names:
            return self._value(self._names[node.id], depth + 1)
        if isinstance(node, ast.JoinedStr):
            return "".join(
                str(self._value(part.value if isinstance(part, ast.FormattedValue) else part, depth))
                for part in node.values
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self._value(node.left, depth), self._value(node.right, depth)
            if isinstance(left, str) and isinstance(right, str):
                return left + right
        raise _UnknownError
