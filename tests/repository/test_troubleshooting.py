"""docs/troubleshooting.md: each message is one of the builder's, and each mistake of the tests has its message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.building import test_mistakes_of_packages, test_mistakes_of_requirements
from tests.commands import test_mistakes_of_workspaces
from tests.support.mistakes import Mistake
from tests.support.programs import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = [found.replace("`", "").lstrip("…") for _, found in re.findall(r"(?m)^\| (``?) ?(.+?) ?\1 \|", PAGE)]
"""As the page has them, without the quotes around names."""

MISTAKES: dict[str, Mistake] = {
    f"{table.__name__.rpartition('.')[2]}: {name}": mistake
    for table in (test_mistakes_of_packages, test_mistakes_of_requirements, test_mistakes_of_workspaces)
    for name, mistake in table.MISTAKES.items()
}

_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_.]*\b")


def letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


def patterns() -> Iterator[tuple[re.Pattern[str], int]]:
    """Each text of the code, with anything in place of its values, and the number of its own letters."""
    for path in (REPOSITORY / "builder").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [
                part.value.replace("`", "")
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
                else None
                for part in parts
            ]
            known = letters("".join(filter(None, texts)))
            if known:
                pattern = "".join(".*?" if text is None else re.escape(text) for text in texts)
                yield re.compile(pattern, re.DOTALL), known


PATTERNS = list(patterns())


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 80
    assert len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_one_of_the_builder(message: str) -> None:
    own = letters(_PLACEHOLDER.sub("", message))
    # A text with few words of its own would fit anything.
    assert any(2 * known > own and pattern.fullmatch(message) for pattern, known in PATTERNS)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_its_message_here(name: str) -> None:
    # Without the names and versions of this one mistake.
    words = [words.strip(" ,") for words in re.split(r"`[^`]*`|[<>=]*\d[\w.]*", MISTAKES[name].what)]
    assert any(all(part in message for part in words) for message in MESSAGES)
