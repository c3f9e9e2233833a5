"""The paths that a Python file names, as far as its syntax tree makes them certain; nothing of it is run.

Certain is what is built of constants, `__file__`, the working directory and names that are bound once, by the
operations of `pathlib` and `os.path`. All else is unknown, and so is what is built of it.
"""

from __future__ import annotations

# The code that is read may use `os.path`, which is what it is read by.
# ruff: noqa: PTH118, PTH120
import ast
import os.path
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

_CLIMBING: Final = re.compile(r"(?:\.\./)+[\w./ -]*[\w-]")
_KNOWN: Final = ("pathlib", "os", "dagster")
_OWN: Final = ("self", "cls")
_LONGEST: Final = 80
_LONGEST_PATH: Final = 4096
"""What Linux takes. Code that makes longer texts of short ones by doubling them is not followed."""


@dataclass(frozen=True, slots=True)
class NamedPath:
    """A path in the code of a file.

    :param text: how the code names it.
    :param path: what it is; a relative one may be relative to anything.
    """

    line: int
    text: str
    path: PurePath


def named_paths(code: str, file: Path, working_directory: Path) -> Iterator[NamedPath]:
    """The paths that code names: those that start from where it lies or works, and those that climb (`../x`).

    :param file: where the code lies.
    :param working_directory: of the code at run time.

    Code that does not parse names none.
    """
    if not _may_climb(code):
        return
    try:
        with warnings.catch_warnings():
            # Of invalid escapes in strings, which are the project's own affair.
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        yield from _found(tree, _Folding(tree, file, working_directory))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _may_climb(code: str) -> bool:
    """Whether code has any of the words without which no path in it leads upwards: parsing takes far longer."""
    return any(text in code for text in ("../", '".."', "'..'", "pardir")) or (
        any(text in code for text in ("__file__", "cwd(", "absolute(", "resolve("))
        and any(text in code for text in (".parent", "dirname", "path.split"))
    )


def _found(node: ast.AST, folding: _Folding) -> Iterator[NamedPath]:
    """The largest expressions that are paths, from the outside in."""
    if isinstance(node, ast.expr) and not isinstance(node, ast.Constant | ast.Name):
        value = folding.path(node)
        if value is not None:
            text = ast.unparse(node)
            shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
            yield NamedPath(node.lineno, shown, value)
            return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CLIMBING.fullmatch(node.value):
        yield NamedPath(node.lineno, node.value, PurePath(node.value))
    if isinstance(node, ast.Call) and (joined := _joined(node.args)):
        yield NamedPath(node.lineno, joined, PurePath(joined))
    for child in ast.iter_child_nodes(node):
        yield from _found(child, folding)


def _joined(arguments: Sequence[ast.expr]) -> str | None:
    """`../x` of arguments `…, "..", "x"`, as of `os.path.join`; None of others."""
    texts = [argument.value if isinstance(argument, ast.Constant) else None for argument in arguments]
    if ".." not in texts:
        return None
    parts = texts[texts.index("..") :]
    if not all(isinstance(part, str) for part in parts) or parts[-1] == "..":
        return None
    return "/".join(str(part) for part in parts)


class _UncertainError(Exception):
    """An expression whose value is unknown before the code runs."""


class _Folding:
    """Constant folding in one file."""

    def __init__(self, tree: ast.AST, file: Path, working_directory: Path) -> None:
        self._file = file
        self._names = dict(_imported(tree))
        self._bound = _bound_once(tree)
        self._values: dict[str, tuple[object, bool]] = {}
        self._anchored = False
        self._working_directory = working_directory
        self._functions = self._all_functions()
        self._methods = self._all_methods()
        self._nodes: Mapping[type[ast.expr], Callable[[Any], object]] = {
            ast.Constant: lambda node: node.value,
            ast.Name: self._name,
            ast.JoinedStr: lambda node: "".join(str(self._fold(part)) for part in node.values),
            ast.FormattedValue: self._formatted,
            ast.BinOp: self._operation,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.Call: self._call,
        }

    def path(self, node: ast.expr) -> PurePath | None:
        """The path that an expression is, if it starts from `__file__` or the working directory, or climbs."""
        self._anchored = False
        try:
            value = self._fold(node)
        # Code may well be wrong: no such method, too few arguments, an index out of range.
        except (_UncertainError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None
        path = PurePath(value) if isinstance(value, str | PurePath) else PurePath()
        climbs = path.parts[:1] == ("..",) and path.name != ".."
        return path if climbs or (self._anchored and path.is_absolute()) else None

    def _fold(self, node: ast.expr) -> object:
        fold = self._nodes.get(type(node))
        value = fold(node) if fold else None
        if value is None or (isinstance(value, str | PurePath) and len(str(value)) > _LONGEST_PATH):
            raise _UncertainError
        return value

    def _name(self, node: ast.Name) -> object:
        if node.id == "__file__":
            self._anchored = True
            return str(self._file)
        if node.id not in self._values:
            # Only once, and not at all while it is looked at: what refers to itself is unknown.
            expression, before = self._bound.pop(node.id, None), self._anchored
            if expression is None:
                raise _UncertainError
            self._anchored = False
            value = self._fold(expression)
            self._values[node.id] = value, self._anchored
            self._anchored = before
        value, anchored = self._values[node.id]
        self._anchored |= anchored
        return value

    def _formatted(self, node: ast.FormattedValue) -> object:
        if node.format_spec is not None or node.conversion != -1:
            raise _UncertainError
        return self._fold(node.value)

    def _operation(self, node: ast.BinOp) -> object:
        left, right = self._fold(node.left), self._fold(node.right)
        if isinstance(node.op, ast.Div) and isinstance(left, PurePath) and isinstance(right, str | PurePath):
            return left / right
        if isinstance(left, str) and isinstance(right, str):
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Mod) and left.count("%") == left.count("%s") == 1:
                return left.replace("%s", right)
        raise _UncertainError

    def _attribute(self, node: ast.Attribute) -> object:
        if self._dotted(node) == "os.pardir":
            return ".."
        if isinstance(node.value, ast.Name) and node.value.id in _OWN:
            return self._name(ast.Name(node.attr))
        value = self._fold(node.value)
        if isinstance(value, PurePath) and node.attr in {"parent", "parents", "name", "stem"}:
            return getattr(value, node.attr)
        raise _UncertainError

    def _subscript(self, node: ast.Subscript) -> object:
        value, index = self._fold(node.value), self._fold(node.slice)
        if isinstance(value, Sequence) and not isinstance(value, str) and isinstance(index, int):
            return value[index]
        raise _UncertainError

    def _call(self, node: ast.Call) -> object:
        arguments = [self._fold(argument) for argument in node.args]
        name = self._dotted(node.func)
        if name in self._functions:
            return self._functions[name](*arguments)
        if name is None and isinstance(node.func, ast.Attribute) and node.func.attr in self._methods:
            value = self._fold(node.func.value)
            if isinstance(value, PurePath | str):
                return self._methods[node.func.attr](value, *arguments)
        raise _UncertainError

    def _dotted(self, node: ast.expr) -> str | None:
        """What a function is called where it is defined; None for a method of a value."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id, "str" if node.id == "str" else None)
        above = self._dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{above}.{node.attr}" if above and isinstance(node, ast.Attribute) else None

    def _absolute(self, path: str | PurePath = "") -> str:
        self._anchored |= not PurePath(path).is_absolute()
        return os.path.normpath(os.path.join(self._working_directory, path))

    def _all_functions(self) -> dict[str, Callable[..., object]]:
        """Functions by the names that they have where they are defined; wrong arguments raise TypeError."""
        paths = dict.fromkeys(("Path", "PurePath", "PosixPath", "PurePosixPath"), PurePath)
        return {
            **{f"pathlib.{name}": function for name, function in paths.items()},
            "pathlib.Path.cwd": lambda: PurePath(self._absolute()),
            "os.getcwd": self._absolute,
            "os.fspath": os.fspath,
            "os.path.abspath": self._absolute,
            "os.path.basename": os.path.basename,
            "os.path.dirname": os.path.dirname,
            "os.path.join": os.path.join,
            "os.path.normpath": os.path.normpath,
            "os.path.realpath": self._absolute,
            "os.path.split": os.path.split,
            "dagster.file_relative_path": lambda file, path: os.path.join(os.path.dirname(file), path),
            "str": str,
        }

    def _all_methods(self) -> dict[str, Callable[..., object]]:
        """Methods of paths, and of texts, by name."""
        return {
            "absolute": lambda path: PurePath(self._absolute(path)),
            "as_posix": PurePath.as_posix,
            "format": _formatted_text,
            "joinpath": PurePath.joinpath,
            "resolve": lambda path, *_strict: PurePath(self._absolute(path)),
            "with_name": PurePath.with_name,
        }


def _formatted_text(text: object, *arguments: object) -> str:
    """`str.format` of a text whose fields say nothing of their width, which might be without measure."""
    if not isinstance(text, str) or not re.fullmatch(r"(?:[^{}]|\{\d*\})*", text):
        raise _UncertainError
    return text.format(*arguments)


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a file calls the modules that are known here and their functions, with their dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                if top in _KNOWN:
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _KNOWN:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _bound_once(tree: ast.AST) -> dict[str, ast.expr]:
    """The expression of each name that is bound by one `=` in the file, and in no other way.

    What `self.NAME` is counts as NAME: it is bound there, or in the body of the class.
    """
    bound: dict[str, ast.expr] = {}
    times: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            times[node.arg] += 1
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            times[_bound_name(node)] += 1
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        if (
            isinstance(target, ast.Name | ast.Attribute)
            and isinstance(node, ast.Assign | ast.AnnAssign)
            and node.value
        ):
            bound[_bound_name(target)] = node.value
    return {name: expression for name, expression in bound.items() if times[name] == 1}


def _bound_name(target: ast.Name | ast.Attribute) -> str:
    return target.id if isinstance(target, ast.Name) else target.attr
