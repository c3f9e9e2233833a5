"""docs/troubleshooting.md, docs/warnings.md: each message is the builder's, each warning and mistake has one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.building import test_mistakes_of_packages, test_mistakes_of_requirements
from tests.commands import test_mistakes_of_workspaces
from tests.support.mistakes import Mistake
from tests.support.programs import REPOSITORY
from tests.support.warnings_page import KINDS, letters, messages, own_letters

MESSAGES = messages("troubleshooting.md")

MISTAKES: dict[str, Mistake] = {
    f"{table.__name__.rpartition('.')[2]}: {name}": mistake
    for table in (test_mistakes_of_packages, test_mistakes_of_requirements, test_mistakes_of_workspaces)
    for name, mistake in table.MISTAKES.items()
}

PASSED_ON = {
    # What dagster warned of, an earlier run said, and uv does.
    *("builder/verification/load.py", "builder/verification/load_record.py"),
    *("builder/resolution/resolve.py", "builder/resolution/uv_resolve.py"),
}
"""The files that hand on warnings which have their text elsewhere."""

OF_UV = {kind for kind in KINDS if kind.endswith("; require another")}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((REPOSITORY / "builder").rglob("*.py")):
        yield path.relative_to(REPOSITORY).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def patterns(tree: ast.AST) -> Iterator[tuple[re.Pattern[str], int]]:
    """Each text of some code, with anything in place of its values, and the number of its own letters."""
    for node in ast.walk(tree):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [
            part.value.replace("`", "") if isinstance(part, ast.Constant) and isinstance(part.value, str) else None
            for part in parts
        ]
        known = letters("".join(filter(None, texts)))
        if known:
            pattern = "".join(".*?" if text is None else re.escape(text) for text in texts)
            yield re.compile(pattern, re.DOTALL), known


PATTERNS = [pattern for _, module in modules() for pattern in patterns(module)]


def warnings() -> Iterator[tuple[str, ast.AST]]:
    """Each place of the code that makes a warning, and the code that has its text."""
    for name, module in modules():
        functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
        for call in ast.walk(module):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Notice"):
                continue
            if any(keyword.arg == "is_note" for keyword in call.keywords):
                continue
            around = [node for node in functions if node.lineno <= call.lineno <= (node.end_lineno or 0)]
            names = {node.id for node in ast.walk(call.args[0]) if isinstance(node, ast.Name)}
            values = [
                node.value
                for function in around[-1:]
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and not names.isdisjoint(map(ast.unparse, node.targets))
            ]
            texts = [text for text in (call.args[0], *values) if any(known > 10 for _, known in patterns(text))]
            # One that is handed over, or is put together of several, has its text elsewhere in the file.
            yield f"{name}:{call.lineno}", texts[0] if texts else module


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 80
    assert len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", [*MESSAGES, *sorted({*KINDS} - OF_UV)])
def test_a_message_is_one_of_the_builder(message: str) -> None:
    assert is_said(message, PATTERNS)


def is_said(message: str, found: Iterable[tuple[re.Pattern[str], int]]) -> bool:
    """Whether one of the patterns is this message's: one with few words of its own would fit anything."""
    own = own_letters(message)
    return any(2 * known > own and pattern.fullmatch(message) for pattern, known in found)


@pytest.mark.parametrize("place, text", [pytest.param(*found, id=found[0]) for found in warnings()])
def test_a_warning_is_of_a_kind_that_has_its_remedy(place: str, text: ast.AST) -> None:
    found = list(patterns(text))
    assert place.partition(":")[0] in PASSED_ON or any(is_said(kind, found) for kind in KINDS)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_its_message_here(name: str) -> None:
    # Without the names and versions of this one mistake.
    words = [words.strip(" ,") for words in re.split(r"`[^`]*`|[<>=]*\d[\w.]*", MISTAKES[name].what)]
    assert any(all(part in message for part in words) for message in MESSAGES)
