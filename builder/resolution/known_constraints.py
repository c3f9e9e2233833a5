"""Versions of distributions with which the code server crashes, kept as data in `known-constraints.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from builder.errors import Notice, Origin
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.resolution.lock import Lock


@dataclass(frozen=True, slots=True)
class KnownConstraint:
    """Versions of a distribution that a resolution may choose.

    :param beside: the versions of another distribution beside which the others crash.
    :param reason: a sentence about a version that is not among them.
    """

    name: str
    specifier: SpecifierSet
    beside: Requirement
    reason: str

    @property
    def text(self) -> str:
        """As a line of a constraints file."""
        return f"{self.name}{self.specifier}"

    @property
    def excluded(self) -> tuple[str, ...]:
        """A requirement for each version that it excludes, with which a yanked one is still not chosen."""
        return tuple(f"{self.name}>={clause.version},<={clause.version}" for clause in self.specifier)


@cache
def _all() -> tuple[KnownConstraint, ...]:
    text = (resources.files("builder.resolution") / "known-constraints.toml").read_text(encoding="utf-8")
    return tuple(
        KnownConstraint(
            entry["name"], SpecifierSet(entry["specifier"]), Requirement(entry["beside"]), entry["reason"]
        )
        for entry in tomllib.loads(text)["constraint"]
    )


def applied_to(requirements: Requirements) -> tuple[KnownConstraint, ...]:
    """Those that hold for a resolution: what a project names itself is its own decision."""
    named = {required_name(line.text) for line in (*requirements.lines, *requirements.constraints)}
    return tuple(known for known in _all() if known.name not in named)


def perhaps_acting(requirements: Requirements, versions: Mapping[str, str]) -> Iterator[KnownConstraint]:
    """Those that may have changed a resolution: it chose an earlier version than they exclude."""
    for known in applied_to(requirements):
        version = versions.get(known.name)
        if version and all(Version(version) < Version(clause.version) for clause in known.specifier):
            yield known


def crashing(lock: Lock, requirements: Requirements) -> Iterator[Notice]:
    """Warnings of versions in a lock with which the code server crashes."""
    for known in _all():
        version, beside = lock.version_of(known.name), lock.version_of(known.beside.name)
        if version is None or beside is None or known.specifier.contains(version, prereleases=True):
            continue
        if known.beside.specifier.contains(beside, prereleases=True):
            where = Origin(requirements.lock) if requirements.lock else requirements.origin_of(known.name)
            yield Notice(
                f"`{known.name}=={version}` beside `{known.beside.name}=={beside}`: {known.reason};"
                f" require `{known.text}`",
                where,
            )
