"""Version families: the groups of packages in a repository that share a version.

A package's family is known from its version at a release: 1.N.P for the core and 0.(N+16).P for the libraries.
Between releases every package has the same placeholder (`1!0+dev`), and the family is known from the name only.
Directories and pins do not show it: six core packages are in `libraries/`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from builder.monorepo.versions import Family, normalised, parse_version, release_minor

CORE_NAMES: Final = frozenset(
    {
        "create-dagster",
        "dagit",
        "dagster",
        "dagster-airflow",
        "dagster-cloud",
        "dagster-cloud-cli",
        "dagster-dg-cli",
        "dagster-dg-core",
        "dagster-graphql",
        "dagster-pipes",
        "dagster-shared",
        "dagster-test",
        "dagster-webserver",
    }
)
"""Packages that are released as 1.N.P (November 2026), and dagster-test, which has the same version."""

REFERENCE_PACKAGE: Final = "dagster"
"""The package whose version counts as the repository's."""


def families_of(versions: Mapping[str, str | None]) -> dict[str, Family | None]:
    """The family of each package, by normalised name; None for one that has a version of its own.

    :param versions: the declared version of each package.
    """
    line = _line(versions.values())
    shared = versions.get(REFERENCE_PACKAGE)
    return {name: _family(name, version, line, shared) for name, version in versions.items()}


def _family(name: str, version: str | None, line: int | None, shared: str | None) -> Family | None:
    if version is None or normalised(version) is None:
        return None
    parsed = parse_version(version)
    if line is not None and release_minor(version) == line:
        return "core" if parsed.major == 1 else "libraries"
    if parsed.epoch or version == shared:
        return "core" if name in CORE_NAMES else "libraries"
    return None


def _line(versions: Iterable[str | None]) -> int | None:
    """The most frequent N; the highest if several are."""
    lines = Counter(line for version in versions if version and (line := release_minor(version)) is not None)
    return max(lines, key=lambda line: (lines[line], line), default=None)
