"""Escaping text for GitHub's Markdown: table rows, inline code, code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from builder.system.redaction import redacted

_LONGEST_NAME: Final = 100


def row(cells: Iterable[str]) -> str:
    """A row of a table; `cells` are Markdown."""
    return f"| {' | '.join(cells)} |"


def code(text: str, longest: int = _LONGEST_NAME) -> str:
    """A foreign text in one line, for a table too, without effect as markup or as a mention.

    As HTML, because markdown has no way to write a backquote or a pipe in code inside a table.
    """
    line = shortened(re.sub(r"\s+", " ", redacted(text)), longest)
    escaped = re.sub(r"[!-,/:-@\[-`{-~]", lambda match: f"&#{ord(match[0])};", line)
    return f"<code>{escaped}</code>"


def block(text: str) -> str:
    """A foreign text in several lines."""
    runs = re.findall("`+", text)
    fence = "`" * max([3, *(len(run) + 1 for run in runs)])
    return f"{fence}\n{text}\n{fence}"


def shortened(text: str, longest: int) -> str:
    """The first `longest` characters of a text, the last of them an ellipsis if there are more."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
