"""Version families: the groups of packages in a repository that share a version.

A package's family is known from its version at a release: 1.N.P for the core and 0.(N+16).P for the libraries.
Between releases every package has the same placeholder (`1!0+dev`); then the newest tag of a release tells, if
this clone has it with its files, and otherwise the name. Directories and pins do not: six core packages are in
`libraries/`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.packages import git
from builder.packages.declarations import Declared
from builder.packages.versions import Family, normalised, parse_version, release_minor, tagged_release

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
"""Packages that are released as 1.N.P (November 2026), and dagster-test, which has the same version.

They count only for packages that no release in this clone has: shallow clones have no tags.
"""

REFERENCE_PACKAGE: Final = "dagster"
"""The package whose version counts as the repository's."""


BY_NAME: Final = "name"
"""The source of a family that nothing in the repository tells."""

_TAGS_READ: Final = 30
"""How many tags are looked at: those that a fork puts on its own commits are of placeholders."""

_VERSION: Final = r"version(__)?[[:space:]]*(:[[:space:]]*str[[:space:]]*)?=[[:space:]]*[\"'][0-9]"
_VALUE: Final = re.compile(r"""(?<![\w-])(?:__)?version(?:__)?\s*(?::\s*str\s*)?=\s*["'](\d[^"']*)""")


@dataclass(frozen=True, slots=True)
class Membership:
    """A package's family; None if it has a version of its own.

    :param source: what tells it: `version`, `tag …` or `BY_NAME`.
    """

    family: Family | None
    source: str


def families_of(root: Path, packages: Mapping[str, Declared]) -> dict[str, Membership]:
    """The family of each package of a repository, by normalised name.

    :param root: of the repository, absolute.
    """
    versions = {name: declared.version for name, declared in packages.items()}
    line = _line(versions.values())
    shared = versions.get(REFERENCE_PACKAGE)
    known: dict[str, Membership] = {}
    unknown: list[str] = []
    for name, version in versions.items():
        if version is None or normalised(version) is None:
            known[name] = Membership(None, "version")
        elif line is not None and release_minor(version) == line:
            known[name] = Membership(_of_release(version), "version")
        elif parse_version(version).epoch or version == shared:
            unknown.append(name)
        else:
            known[name] = Membership(None, "version")
    released = _at_release(root, {name: packages[name] for name in unknown})
    by_name = {name: Membership("core" if name in CORE_NAMES else "libraries", BY_NAME) for name in unknown}
    return {**by_name, **known, **released}


def _of_release(version: str) -> Family:
    return "core" if parse_version(version).major == 1 else "libraries"


def _at_release(root: Path, packages: Mapping[str, Declared]) -> dict[str, Membership]:
    """The families of packages by their versions at the newest tag of a release that has any."""
    owners = {
        path.relative_to(root).as_posix(): name
        for name, declared in packages.items()
        for path in (declared.manifest, *declared.version_files)
    }
    releases = {tag: release for tag in git.tags(root) if owners and (release := tagged_release(tag))}
    for tag in sorted(releases, key=lambda tag: parse_version(releases[tag]), reverse=True)[:_TAGS_READ]:
        families = {
            owners[path]: Membership(_of_release(match[1]), f"tag {tag}")
            for path, text in git.lines_at(root, tag, _VERSION, list(owners))
            if (match := _VALUE.search(text)) and release_minor(match[1]) == release_minor(releases[tag])
        }
        if families:
            return families
    return {}


def _line(versions: Iterable[str | None]) -> int | None:
    """The most frequent N; the highest if several are."""
    lines = Counter(line for version in versions if version and (line := release_minor(version)) is not None)
    return max(lines, key=lambda line: (lines[line], line), default=None)
