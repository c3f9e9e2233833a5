"""Directed graphs, as mappings of each node to those that it leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def reachable(start: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    """The nodes that some nodes lead to, however indirectly, and these themselves."""
    reached: set[str] = set()
    pending = list(start)
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending += edges.get(node, ())
    return reached
