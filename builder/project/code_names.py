"""Resolving names in a Python file: the expression that a name is bound to, if the syntax tree makes it certain.

A name is certain if only plain assignments in one block bind it: read in that block, it has its last value. A
function that reads it gets that value too, if the name is not bound again after the function is defined.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NAMED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Bound = Mapping[str, ast.AST | None]


class Names:
    """The names that a file reads.

    :param nodes: all of the file.
    :param known: top-level modules; imports from them are not bindings.
    :ivar values: the expression that a name is bound to.
    :ivar defined: names of functions and classes of the file that have no decorators.
    :ivar unknown: names with any other binding; as text, if a function binds them for an outer scope.
    """

    def __init__(self, tree: ast.Module, nodes: Iterable[ast.AST], known: Collection[str]) -> None:
        self.values: dict[ast.Name, ast.expr] = {}
        self.defined: set[ast.Name] = set()
        self.unknown: set[ast.Name | str] = set()
        self._known = known
        # The arguments that calls pass by name, and the functions that get some by position.
        self._passed: set[str | None] = set()
        self._called: set[str] = set()
        for node in nodes:
            if isinstance(node, ast.Call):
                self._passed.update(keyword.arg for keyword in node.keywords)
                if node.args and isinstance(node.func, ast.Name | ast.Attribute):
                    self._called.add(node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                self.unknown.update(node.names)
        self._block(tree.body, {}, {})

    def _block(self, body: list[ast.stmt], outer: _Bound, arguments: _Bound, *, is_class: bool = False) -> None:
        """Read the names in the body of a module, a class or a function.

        :param outer: the bindings of the enclosing scope.
        """
        times = Counter(name for statement in body for name in self._binds(statement)) + Counter(list(arguments))
        plain: dict[str, list[ast.AST]] = defaultdict(list)
        for statement in body:
            for name, value in _plain(statement):
                plain[name].append(value)
        own: dict[str, ast.AST | None] = dict.fromkeys(times)
        own.update({name: value for name, value in arguments.items() if times[name] == 1})
        certain = {name: values for name, values in plain.items() if len(values) == times[name]}
        own.update({name: values[0] for name, values in certain.items() if len(values) == 1})
        to_come = {name: len(values) for name, values in certain.items() if len(values) > 1}
        now: _Bound = {}
        inner: _Bound = {}
        for statement in body:
            if not now:
                now = {**outer, **own}
                inner = {**now, **dict.fromkeys(name for name, left in to_come.items() if left)}
            self._read(statement, now, outer if is_class else inner)
            for name, value in _plain(statement):
                if name in to_come:
                    own[name] = value
                    to_come[name] -= 1
                    now = {}

    def _read(self, node: ast.AST, now: _Bound, inner: _Bound) -> None:
        """Read the names in a node.

        :param inner: the bindings that functions in it see.
        """
        if isinstance(node, ast.Name) and node.id in now and node.id not in self.unknown:
            value = now[node.id]
            if isinstance(value, ast.expr):
                self.values[node] = value
            elif value is not None:
                self.defined.add(node)
            else:
                self.unknown.add(node)
        apart: list[ast.stmt] = []
        if isinstance(node, _FUNCTIONS):
            apart = [ast.Expr(node.body)] if isinstance(node, ast.Lambda) else node.body
            self._block(apart, inner, dict(self._parameters(node)))
        elif isinstance(node, ast.ClassDef):
            apart = node.body
            self._block(apart, inner, {}, is_class=True)
        body = getattr(node, "body", None)
        for child in ast.iter_child_nodes(node):
            if not apart or (child is not body and child not in apart):
                self._read(child, now, inner)

    def _parameters(self, function: _Function) -> Iterator[tuple[str, ast.expr | None]]:
        """The parameters of a function, with the default of those that no call in the file passes."""
        given = function.args
        yield from ((argument.arg, None) for argument in (given.vararg, given.kwarg) if argument)
        positional = [*given.posonlyargs, *given.args]
        without = [None] * (len(positional) - len(given.defaults))
        called = getattr(function, "name", "__init__") in {*self._called, "__init__"}
        for parameter, default in zip(positional, [*without, *given.defaults], strict=True):
            yield parameter.arg, None if called or parameter.arg in self._passed else default
        for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            yield parameter.arg, None if parameter.arg in self._passed else default

    def _binds(self, statement: ast.stmt) -> Iterator[str]:
        """The names that a statement binds in its own block, once for each binding."""
        pending: list[ast.AST] = [statement]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Name):
                if not isinstance(node.ctx, ast.Load):
                    yield node.id
                continue
            if isinstance(node, _NAMED):
                yield node.name
                continue
            if isinstance(node, ast.Lambda):
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from self._imports(node)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            pending += ast.iter_child_nodes(node)

    def _imports(self, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        """The names that an import binds, without those of known modules."""
        if isinstance(node, ast.ImportFrom):
            if node.level or str(node.module).partition(".")[0] not in self._known:
                yield from (alias.asname or alias.name for alias in node.names)
            return
        for alias in node.names:
            top = alias.name.partition(".")[0]
            if top not in self._known:
                yield alias.asname or top


def _plain(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """The name that a statement binds to an expression, or to a function or class as it is written."""
    match statement:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
        ):
            yield name, value
        case ast.FunctionDef(name=name, decorator_list=[]) | ast.ClassDef(name=name, decorator_list=[]):
            yield name, statement
