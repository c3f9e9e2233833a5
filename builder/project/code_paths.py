"""Finding the paths that a Python file uses, from its syntax tree, without running it.

A path is known if it is computed by operations of `pathlib`, `os.path` and strings from constants, `__file__`, the
working directory, and names with a certain value (`code_names`). Every other value is unknown.
"""

from __future__ import annotations

# The code that is read may use `os.path`, so its functions are evaluated here.
# ruff: noqa: PTH118, PTH120
import ast
import os.path
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from builder.project.code_names import Names

_CLIMBING: Final = re.compile(r"(?:\.\./)+[\w./ -]*[\w-]")
_KNOWN: Final = ("dagster", "dagster_dbt", "importlib", "importlib_resources", "inspect", "os", "pathlib")
_OWN: Final = ("self", "cls")
_CONSTANTS: Final = {
    "os.curdir": ".",
    "os.pardir": "..",
    "os.path.curdir": ".",
    "os.path.pardir": "..",
    "os.path.sep": "/",
    "os.sep": "/",
}
_RESOURCES: Final = ("importlib.resources", "import resources", "importlib_resources")
_LONGEST: Final = 80
_LONGEST_PATH: Final = 4096
"""The limit of Linux. It also stops code that doubles a string again and again."""


@dataclass(frozen=True, slots=True)
class NamedPath:
    """A path in the code of a file.

    :param text: its expression in the code.
    :param path: its value; it is unknown what a relative path is relative to.
    """

    line: int
    text: str
    path: PurePath


def named_paths(code: str, file: Path, working_directory: Path) -> Iterator[NamedPath]:
    """The paths in code that start from its file or its working directory, or lead upwards (`../x`).

    :param file: the file of the code.
    :param working_directory: of the code at run time.

    Empty for code that does not parse. Blocks that only run in a script (`if __name__ == "__main__"`) are skipped.
    """
    if not _may_climb(code):
        return
    try:
        with warnings.catch_warnings():
            # Warnings about invalid escapes in strings.
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        yield from _paths_in(tree, _Folding(tree, file, working_directory))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def paths_given_to(
    function: str, parameters: Sequence[str], code: str, file: Path, working_directory: Path
) -> Iterator[tuple[int, dict[str, PurePath | None]]]:
    """The line of each call of a function, and its arguments: paths or texts, None for an unknown value.

    :param function: its dotted name, in one of the modules of _KNOWN.
    :param parameters: the names of its positional parameters.
    """
    try:
        tree = ast.parse(code)
        folding = _Folding(tree, file, working_directory)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and folding.name_of(node.func) == function:
                given = dict(zip(parameters, node.args, strict=False))
                given |= {keyword.arg or "**": keyword.value for keyword in node.keywords}
                yield node.lineno, {name: folding.plain_path(value) for name, value in given.items()}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return


def _may_climb(code: str) -> bool:
    """Whether a path in the code may lead upwards, by a search for words; it is much faster than parsing."""
    return any(text in code for text in ("../", '".."', "'..'", "pardir")) or (
        any(
            text in code
            for text in (
                "__file__",
                "cwd(",
                "absolute(",
                "resolve(",
                "getfile(",
                "sourcefile(",
                "absfile(",
                *_RESOURCES,
            )
        )
        and any(text in code for text in (".parent", "dirname", "split", ".parts"))
    )


def _paths_in(node: ast.AST, folding: _Folding) -> Iterator[NamedPath]:
    """The largest expressions that are paths, outermost first."""
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
    inside: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and re.fullmatch(r"__name__ == '__main__'", ast.unparse(node.test)):
        inside = node.orelse
    for child in inside:
        yield from _paths_in(child, folding)


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


_THIS_FILE: Final = object()
"""Stands for a frame, function or class of the file, or the name of its module or package."""


class _Folding:
    """Constant folding in one file."""

    def __init__(self, tree: ast.Module, file: Path, working_directory: Path) -> None:
        self._file = file
        nodes = list(ast.walk(tree))
        self._imported = dict(_imported(nodes))
        self._bound = Names(tree, nodes, _KNOWN)
        self._attributes = _bound_once(nodes)
        self._values: dict[ast.expr, tuple[object, bool]] = {}
        self._anchored = False
        self._working_directory = working_directory
        self._changes_directory = any(
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name | ast.Attribute)
            and _bound_name(node.func) == "chdir"
            for node in nodes
        )
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
            ast.Slice: self._slice,
            ast.UnaryOp: self._negative,
            ast.Call: self._call,
            **dict.fromkeys((ast.List, ast.Tuple), lambda node: [self._fold(element) for element in node.elts]),
        }

    def plain_path(self, node: ast.expr) -> PurePath | None:
        """The path that is the value of an expression; None if it is unknown."""
        try:
            value = self._fold(node)
        # The code may be wrong: no such method, too few arguments, an index out of range.
        except (_UncertainError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return None
        return PurePath(value) if isinstance(value, str | PurePath) else None

    def path(self, node: ast.expr) -> PurePath | None:
        """The value of an expression, if it is a path from `__file__` or the working directory, or upwards."""
        self._anchored = False
        path = self.plain_path(node)
        if path is None:
            return None
        climbs = path.parts[:1] == ("..",) and path.name != ".."
        return path if climbs or (self._anchored and path.is_absolute()) else None

    def _fold(self, node: ast.expr) -> object:
        fold = self._nodes.get(type(node))
        value = fold(node) if fold else None
        if value is None or (isinstance(value, str | PurePath) and len(str(value)) > _LONGEST_PATH):
            raise _UncertainError
        return value

    def _name(self, node: ast.Name) -> object:
        if expression := self._bound.values.get(node):
            return self._value(expression)
        if node in self._bound.defined:
            return _THIS_FILE
        if node.id in self._bound.unknown or node in self._bound.unknown:
            raise _UncertainError
        if node.id == "__file__":
            return self._own_file()
        if node.id in {"__name__", "__package__"}:
            return _THIS_FILE
        raise _UncertainError

    def _own_file(self) -> str:
        self._anchored = True
        return str(self._file)

    def _value(self, expression: ast.expr) -> object:
        """The value of the expression that a name is bound to."""
        if expression not in self._values:
            before = self._anchored
            # Unknown during its evaluation: it may refer to itself.
            self._values[expression] = None, False
            self._anchored = False
            value = self._fold(expression)
            self._values[expression] = value, self._anchored
            self._anchored = before
        value, anchored = self._values[expression]
        if value is None:
            raise _UncertainError
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
        if (name := self._dotted(node)) in _CONSTANTS:
            return _CONSTANTS[name]
        if isinstance(node.value, ast.Name) and node.value.id in _OWN:
            if expression := self._attributes.get(node.attr):
                return self._value(expression)
            raise _UncertainError
        value = self._fold(node.value)
        if isinstance(value, PurePath) and node.attr in {"parent", "parents", "parts", "name", "stem"}:
            return getattr(value, node.attr)
        raise _UncertainError

    def _subscript(self, node: ast.Subscript) -> object:
        value, index = self._fold(node.value), self._fold(node.slice)
        if isinstance(value, list | tuple) and isinstance(index, int | slice):
            return value[index]
        # A parent counted from the root of the file system is a different one on the server.
        if isinstance(value, Sequence) and not isinstance(value, str) and isinstance(index, int) and index >= 0:
            return value[index]
        raise _UncertainError

    def _slice(self, node: ast.Slice) -> object:
        return slice(*(bound and self._fold(bound) for bound in (node.lower, node.upper, node.step)))

    def _negative(self, node: ast.UnaryOp) -> object:
        value = self._fold(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(value, int):
            return -value
        raise _UncertainError

    def _call(self, node: ast.Call) -> object:
        arguments: list[object] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                more = self._fold(argument.value)
                arguments += more if isinstance(more, list | tuple) else [None]
            else:
                arguments.append(self._fold(argument))
        named = {str(keyword.arg): self._fold(keyword.value) for keyword in node.keywords}
        name = self._dotted(node.func)
        if name in self._functions:
            return self._functions[name](*arguments, **named)
        if name is None and isinstance(node.func, ast.Attribute) and node.func.attr in self._methods:
            value = self._fold(node.func.value)
            if isinstance(value, PurePath | str):
                return self._methods[node.func.attr](value, *arguments, **named)
        raise _UncertainError

    def name_of(self, node: ast.expr) -> str | None:
        """The dotted name of a function where it is defined."""
        return self._dotted(node)

    def _dotted(self, node: ast.expr) -> str | None:
        """The dotted name of a called function where it is defined; None for a method of a value."""
        if isinstance(node, ast.Name):
            shadowed = node in self._bound.values or not self._bound.unknown.isdisjoint((node, node.id))
            return None if shadowed else self._imported.get(node.id, "str" if node.id == "str" else None)
        above = self._dotted(node.value) if isinstance(node, ast.Attribute) else None
        return f"{above}.{node.attr}" if above and isinstance(node, ast.Attribute) else None

    def _absolute(self, path: str | PurePath = "", *, strict: object = False) -> str:  # noqa: ARG002  (as realpath has it)
        if not PurePath(path).is_absolute():
            if self._changes_directory:
                raise _UncertainError
            self._anchored = True
        return os.path.normpath(os.path.join(self._working_directory, path))

    def _file_of(self, thing: object) -> str:
        if thing is not _THIS_FILE:
            raise _UncertainError
        return self._own_file()

    def _package(self, package: object = _THIS_FILE) -> PurePath:
        """The directory of this file's package, or of a parent package."""
        own_directory = PurePath(self._own_file()).parent
        if package is _THIS_FILE:
            return own_directory
        parts = tuple(str(package).split("."))
        directories = [own_directory, *own_directory.parents]
        (directory,) = (
            path
            for path in directories
            if path.parts[-len(parts) :] == parts and path.parent.is_relative_to(self._working_directory)
        )
        return directory

    def _all_functions(self) -> dict[str, Callable[..., object]]:
        """Functions by their dotted names; wrong arguments raise TypeError."""
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
            "dagster.file_relative_path": lambda dunderfile, relative_path: os.path.join(
                os.path.dirname(dunderfile), relative_path
            ),
            "str": str,
            **dict.fromkeys(("os.sep.join", "os.path.sep.join"), "/".join),
            **dict.fromkeys(("inspect.currentframe",), lambda: _THIS_FILE),
            **dict.fromkeys(("inspect.getfile", "inspect.getsourcefile", "inspect.getabsfile"), self._file_of),
            **dict.fromkeys(("importlib.resources.files", "importlib_resources.files"), self._package),
        }

    def _all_methods(self) -> dict[str, Callable[..., object]]:
        """Methods of paths, and of texts, by name."""
        return {
            "absolute": lambda path: PurePath(self._absolute(path)),
            "as_posix": PurePath.as_posix,
            "format": _formatted_text,
            "join": str.join,
            "joinpath": PurePath.joinpath,
            "resolve": lambda path, strict=False: PurePath(self._absolute(path, strict=strict)),
            "rpartition": str.rpartition,
            "rsplit": str.rsplit,
            "split": str.split,
            "with_name": PurePath.with_name,
        }


def _formatted_text(text: object, *arguments: object) -> str:
    """`str.format` for fields without a width, which could be huge."""
    if not isinstance(text, str) or not re.fullmatch(r"(?:[^{}]|\{\d*\})*", text):
        raise _UncertainError
    return text.format(*arguments)


def _imported(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """The names in a file of known modules and their functions, with their dotted names."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                if top in _KNOWN:
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif (
            isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in _KNOWN
        ):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _bound_once(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """The expression of each name that the file binds once, by a plain assignment.

    `self.NAME` counts as NAME: it is bound there, or in the body of the class.
    """
    bound: dict[str, ast.expr] = {}
    times: Counter[str] = Counter()
    for node in nodes:
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
