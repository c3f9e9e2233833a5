"""How builder/ is laid out: what lies at its top, which way imports point, and how few of them are deferred."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator

from builder.__main__ import COMMANDS
from builder.system import process
from tests.support.programs import REPOSITORY

PACKAGE = REPOSITORY / "builder"
SLOW = {
    *("cyclonedx", "dagster_cloud_cli", "email", "httpx", "pathspec", "pip._vendor", "poetry", "requests", "rich"),
    *("ssl", "tarfile", "tomlkit", "yaml"),
}
"""What takes long to import, and a build that finds everything in its caches can do without."""

OF_HELP = {
    *("builder.delivery.options", "builder.system.own_environment", "builder.system.process"),
    *("builder.system.redaction", "builder.system.secret_variables", "builder.system.temporaries"),
}
"""What a command's module imports besides `terminal`, without what does the work."""

ONLY_AFTER_FAILURES = {
    *("announcement", "deliver", "load", "markdown", "refusals", "source_refusals", "unreachable"),
    *("uv_resolve", "uv_compile"),
}
"""Modules that explain a failure, resolve anew or deliver: no build with all its files in caches needs them."""


def modules() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
            path.read_text()
        )
        for path in PACKAGE.rglob("*.py")
    }


def deferred(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            yield from (node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom))


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of builder/ that a module imports when it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("builder"):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in known else node.module


def test_only_commands_lie_at_the_top() -> None:
    commands = {path.stem for path in PACKAGE.glob("*.py") if "run_command(main, " in path.read_text()}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__main__.py")}
    assert sorted((commands - {"__main__"}) | rooms) == sorted(COMMANDS)
    files = {path.stem for path in PACKAGE.iterdir() if path.is_file()}
    assert files - commands == {"__init__", "errors"}
    assert len(files) <= 10


def test_every_module_says_what_it_holds() -> None:
    assert [name for name, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_no_imports_run_in_a_circle() -> None:
    known = modules()
    graph = {name: set(imported(tree, known)) - {name} for name, tree in known.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_few_imports_are_deferred_and_few_rules_are_waived() -> None:
    assert sum(len(list(deferred(tree))) for tree in modules().values()) <= 20
    assert sum(path.read_text().count("noqa") for path in PACKAGE.rglob("*.py")) <= 60


def test_values_of_large_dataclasses_are_named() -> None:
    positional = [
        f"{module}.{node.name}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and sum(isinstance(part, ast.AnnAssign) for part in node.body) > 4
        if any(
            "dataclass(" in (text := ast.unparse(mark)) and "kw_only" not in text for mark in node.decorator_list
        )
    ]
    assert positional == []


def loaded(statement: str) -> set[str]:
    """The modules that are there after a statement."""
    environment = process.clean_environment({"PYTHONPATH": str(REPOSITORY)})
    script = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    return set(ran.stdout.split())


def test_help_imports_only_what_all_commands_need() -> None:
    modules = loaded("import builder.deploy")
    ours = {name for name in modules if name.startswith("builder.") and name.count(".") > 1}
    assert {name for name in ours if not name.startswith("builder.terminal.")} == OF_HELP
    assert {
        "asyncio",
        "concurrent.futures",
        "hashlib",
        "json",
        "logging",
        "packaging",
        "tomllib",
    } & modules == set()


def test_a_build_imports_nothing_slow_before_it_needs_it() -> None:
    modules = loaded("import builder.delivery.deploy")
    assert SLOW & modules == set()
    ours = {name.rpartition(".")[2] for name in modules if name.startswith("builder.")}
    assert ONLY_AFTER_FAILURES & ours == set()
