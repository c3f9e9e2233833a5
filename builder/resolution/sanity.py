"""What is odd about a resolution, although it satisfies every requirement."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from builder.errors import Notice
from builder.project.requirement_lines import name_of
from builder.project.requirements_txt import RequirementLine

if TYPE_CHECKING:
    from packaging.pylock import Pylock

_YEARS: Final = timedelta(days=730)
"""A version that is this much older than the newest thing in the lock was hardly chosen on purpose."""

_LIMITING: Final = {"==", "===", "~=", "<", "<="}

Explain = Callable[[list[str]], str | None]
"""Resolves again with these constraints added; returns the resolver's words if that fails."""

Newest = Callable[[list[str]], Mapping[str, str]]
"""The newest version of each of these distributions that the target can have, other requirements aside."""


def oddities(text: str, lines: Iterable[RequirementLine], newest: Newest, explain: Explain) -> list[Notice]:
    """What the user should know of a resolution.

    :param text: the resolver's `pylock.toml`, with upload times.
    :param lines: what the project asks for.
    """
    from packaging.pylock import Pylock  # noqa: PLC0415  (start-up time)

    pylock = Pylock.from_dict(tomllib.loads(text))
    asked = {name: line for line in lines if (name := name_of(line.text))}
    return [*versions_apart(pylock), *_prereleases(pylock, asked), *_gone_back(pylock, asked, newest, explain)]


def versions_apart(pylock: Pylock) -> list[Notice]:
    """A notice if `dagster` and `dagster-cloud` are not of one version, as they are released and tested."""
    found = {str(package.name): str(package.version) for package in pylock.packages}
    dagster, cloud = found.get("dagster"), found.get("dagster-cloud")
    if not dagster or not cloud or dagster == cloud:
        return []
    return [Notice(f"dagster is {dagster} but dagster-cloud {cloud}; they are made for equal versions")]


def _prereleases(pylock: Pylock, asked: Mapping[str, RequirementLine]) -> list[Notice]:
    found = []
    for package in pylock.packages:
        line = asked.get(package.name)
        if package.version is None or not package.version.is_prerelease:
            continue
        if line is None or not _names_prerelease(line.text):
            where = line.origin if line else None
            found.append(
                Notice(f"{package.name} {package.version} is a prerelease, which nothing asks for by name", where)
            )
    return found


def _names_prerelease(text: str) -> bool:
    from packaging.requirements import Requirement  # noqa: PLC0415  (start-up time)

    return any(specifier.prereleases for specifier in Requirement(text).specifier)


def _gone_back(
    pylock: Pylock, asked: Mapping[str, RequirementLine], newest: Newest, explain: Explain
) -> list[Notice]:
    """A notice for each requirement that a resolver met with a version of years ago, with what forced it."""
    uploads = {str(package.name): _uploaded(package.wheels or ()) for package in pylock.packages}
    latest = max((time for time in uploads.values() if time), default=None)
    versions = {str(package.name): str(package.version) for package in pylock.packages}
    old = [
        name
        for name, line in sorted(asked.items())
        if latest and (time := uploads.get(name)) and latest - time > _YEARS and not _limited(line.text)
    ]
    current = newest(old) if old else {}
    # An old version that is the newest there is means nothing.
    back = [name for name in old if name in current and _series(current[name]) != _series(versions[name])]
    if not back:
        return []
    words = explain([f"{name}>={_series(current[name])}" for name in back]) or ""
    forcing = [asked[name] for name in _required(words) if name in asked and name not in back]
    shown = ", ".join(f"{name} {versions[name]} (newest: {current[name]})" for name in back)
    because = f", because of `{forcing[0].text}`" if forcing else ""
    origin = forcing[0].origin if forcing else asked[back[0]].origin
    return [Notice(f"the resolution went back years, to {shown}{because}", origin)]


def _required(words: str) -> list[str]:
    """The names that a resolver's explanation says the user requires, the last conclusion first."""
    clauses = re.findall(r"you require ((?:[^,.]|[,.](?!\s))+)", words)
    return [name for clause in reversed(clauses) for part in clause.split(" and ") if (name := name_of(part))]


def _uploaded(files: Iterable[object]) -> datetime | None:
    times = (getattr(file, "upload_time", None) for file in files)
    return max((time for time in times if time is not None), default=None)


def _limited(text: str) -> bool:
    """Whether a requirement itself keeps newer versions out, or names no version to compare."""
    from packaging.requirements import Requirement  # noqa: PLC0415  (start-up time)

    requirement = Requirement(text)
    return requirement.url is not None or any(each.operator in _LIMITING for each in requirement.specifier)


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])
