"""The names of the most used distributions, to find the one that a misspelt name may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from typing import Final

_NEAR: Final = 0.8


def is_known(name: str) -> bool:
    """Whether a normalised name is that of a much used distribution."""
    return name in _names()


def nearest_names(name: str, more: Iterable[str] = ()) -> list[str]:
    """Known names that a normalised name is nearly, the nearest first; of `more` too."""
    known = {*_names(), *more} - {name}
    return difflib.get_close_matches(name, sorted(known), n=3, cutoff=_NEAR)


def _names() -> frozenset[str]:
    text = (resources.files("builder.resolution") / "known-names.txt").read_text(encoding="utf-8")
    return frozenset(text.split())
