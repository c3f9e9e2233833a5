"""docs/warnings.md: the kinds of warnings that there are, and the kinds of those that a command said."""

from __future__ import annotations

import re

from tests.support.programs import REPOSITORY

_PLACEHOLDER = re.compile(r"\b[A-Z][A-Z_.]*\b")


def messages(page: str) -> list[str]:
    """The messages in the tables of a page of docs, without the quotes around names."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return [
        found.replace("`", "").strip("…").removesuffix("; ")
        for _, found in re.findall(r"(?m)^\| (``?) ?(.+?) ?\1 \|", text)
    ]


def own_letters(message: str) -> int:
    """How many letters it has, without those of its placeholders."""
    return letters(_PLACEHOLDER.sub("", message))


def letters(text: str) -> int:
    return sum(character.isalpha() for character in text)


KINDS = messages("warnings.md")
_PATTERNS = {
    kind: re.compile(rf"(?:[^\s`]+: )?{'.+?'.join(map(re.escape, _PLACEHOLDER.split(kind)))}.*", re.DOTALL)
    for kind in KINDS
}


def kinds_of_warnings(stderr: str) -> list[str]:
    """Of which kind each warning on a screen is; fails for one of none."""
    said = [line.partition("warning: ")[2].replace("`", "") for line in stderr.splitlines() if "warning: " in line]
    found = []
    for text in said:
        kinds = [kind for kind, pattern in _PATTERNS.items() if pattern.fullmatch(text)]
        assert kinds, f"docs/warnings.md has no such warning: {text}"
        found.append(max(kinds, key=own_letters))
    return found
