"""The module names of files, and the nearest one to a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final

_NEAR: Final = 0.8


def module_names(files: Iterable[str], directory: str) -> Iterator[str]:
    """The dotted names of the modules and packages that are importable from a directory.

    :param files: POSIX paths.
    :param directory: one of their parents; empty for the root.
    """
    prefix = f"{directory}/" if directory else ""
    for file in files:
        if file.startswith(prefix) and file.endswith(".py"):
            parts = file[len(prefix) : -len(".py")].split("/")
            name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
            if all(part.isidentifier() for part in name.split(".")):
                yield name


def nearest_module(name: str, known: Iterable[str]) -> str | None:
    """The known module with the most similar name; None if none is similar."""
    near = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=_NEAR)
    return near[0] if near else None
