"""What changed in the dependencies of a location since its last deploy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name


@dataclass(frozen=True, slots=True)
class DependencyChanges:
    """How the distributions of a location differ from those of its last deploy, each sorted by name.

    :param added: names and versions.
    :param removed: the same.
    :param changed: names, old and new versions.
    """

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    changed: tuple[tuple[str, str, str], ...]


def dependency_changes(old: Mapping[str, str], new: Mapping[str, str]) -> DependencyChanges:
    """Compare versions by project; names are compared in their normalised form (PEP 503)."""
    before, after = _normalised(old), _normalised(new)
    return DependencyChanges(
        tuple(sorted((name, after[name]) for name in after.keys() - before.keys())),
        tuple(sorted((name, before[name]) for name in before.keys() - after.keys())),
        tuple(
            sorted(
                (name, before[name], after[name])
                for name in after.keys() & before.keys()
                if before[name] != after[name]
            )
        ),
    )


def _normalised(versions: Mapping[str, str]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in versions.items()}
