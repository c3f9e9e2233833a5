"""Warnings about a lock that satisfies every requirement but is probably not what the user expects."""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from packaging.pylock import Pylock
from packaging.requirements import Requirement

from builder.errors import Notice
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution.lock import Lock
from builder.resolution.series import YEARS, series, uploaded
from builder.resolution.store import StoredFile
from builder.resolution.target import Target
from builder.terminal.formatting import quoted

_LEFT_BEHIND: Final = {"3.9"}
"""Python versions with serverless images that newer versions of dagster do not support."""

_WITHOUT_PKG_RESOURCES: Final = 82
_RECENT: Final = 2023
_EXAMPLES: Final = 3
_PKG_RESOURCES: Final = re.compile(rb"^(import|from)\s+pkg_resources\b", re.MULTILINE)

_LIMITING: Final = {"==", "===", "~=", "<", "<="}

Explain = Callable[[list[str]], str | None]
"""Resolves again with these constraints added; returns the resolver's message if that fails."""

Newest = Callable[[list[str]], Mapping[str, str]]
"""Returns the newest version of each distribution that supports the target, ignoring other requirements."""


def lock_warnings(
    text: str, lines: Iterable[RequirementLine], target: Target, newest: Newest, explain: Explain
) -> list[Notice]:
    """Collect the warnings about a resolution.

    :param text: the resolver's `pylock.toml`, with upload times.
    :param lines: the project's requirements.
    """
    pylock = Pylock.from_dict(tomllib.loads(text))
    asked = {name: line for line in lines if (name := required_name(line.text))}
    return [
        *_versions_apart(pylock),
        *_left_behind(pylock, target, newest),
        *_prereleases(pylock, asked),
        *_gone_back(pylock, asked, newest, explain),
    ]


def importing_setuptools(lock: Lock, wheels: Mapping[str, StoredFile]) -> list[Notice]:
    """A warning for each old distribution that imports `pkg_resources`, if the lock does not provide it.

    setuptools removed it in version 82, and environments of Python 3.12 and later have no setuptools by default.
    """
    setuptools = lock.version_of("setuptools")
    if setuptools is not None and int(setuptools.partition(".")[0]) < _WITHOUT_PKG_RESOURCES:
        return []
    old = [dist for dist in lock.distributions if dist.uploaded and dist.uploaded.year < _RECENT]
    return [
        Notice(
            f"{dist.name} {dist.version} imports pkg_resources, which is not there: take a newer version of it,"
            " or require `setuptools<82`"
        )
        for dist in old
        if _imports_pkg_resources(wheels[dist.name].path)
    ]


def _imports_pkg_resources(wheel: Path) -> bool:
    with zipfile.ZipFile(wheel) as archive:
        names = (name for name in archive.namelist() if name.endswith(".py") and "/tests/" not in name)
        return any(_PKG_RESOURCES.search(archive.read(name)) for name in names)


def _left_behind(pylock: Pylock, target: Target, newest: Newest) -> list[Notice]:
    """A warning that newer versions of dagster exist, but do not support the target's Python."""
    version = next((str(package.version) for package in pylock.packages if package.name == "dagster"), None)
    if (
        target.python_version not in _LEFT_BEHIND
        or version is None
        or newest(["dagster"]).get("dagster") != version
    ):
        return []
    return [
        Notice(f"dagster {version} is the newest that allows Python {target.python_version}; take a newer Python")
    ]


def _versions_apart(pylock: Pylock) -> list[Notice]:
    """A warning if `dagster` and `dagster-cloud`, which are released together, are of different versions."""
    versions = {str(package.name): str(package.version) for package in pylock.packages}
    dagster, cloud = versions.get("dagster"), versions.get("dagster-cloud")
    if not dagster or not cloud or dagster == cloud:
        return []
    return [Notice(f"dagster is {dagster} but dagster-cloud {cloud}; require the same version of both")]


def _prereleases(pylock: Pylock, asked: Mapping[str, RequirementLine]) -> list[Notice]:
    """One warning about those that the resolver chose itself."""
    chosen = [
        package
        for package in pylock.packages
        if package.version is not None
        and package.version.is_prerelease
        and (package.wheels or package.sdist)
        and not (package.name in asked and _names_prerelease(asked[package.name].text))
    ]
    if not chosen:
        return []
    shown = quoted([f"{package.name} {package.version}" for package in chosen], _EXAMPLES)
    are = "is a prerelease" if len(chosen) == 1 else f"are prereleases, {len(chosen)} in all"
    where = next((asked[package.name].origin for package in chosen if package.name in asked), None)
    return [Notice(f"{shown} {are}, which no requirement names; where there is a release, require that", where)]


def _names_prerelease(text: str) -> bool:
    return any(specifier.prereleases for specifier in Requirement(text).specifier)


def _gone_back(
    pylock: Pylock, asked: Mapping[str, RequirementLine], newest: Newest, explain: Explain
) -> list[Notice]:
    """A warning for each requirement that resolved to a years-old version, with what prevents a newer one."""
    uploads = {str(package.name): uploaded(package) for package in pylock.packages}
    latest = max((time for time in uploads.values() if time), default=None)
    versions = {str(package.name): str(package.version) for package in pylock.packages}
    old = [
        name
        for name, line in sorted(asked.items())
        if latest and (time := uploads.get(name)) and latest - time > YEARS and not _limited(line.text)
    ]
    current = newest(old) if old else {}
    # An old version that is also the newest one needs no warning.
    back = [name for name in old if name in current and series(current[name]) != series(versions[name])]
    if not back:
        return []
    words = explain([f"{name}>={series(current[name])}" for name in back]) or ""
    forcing = [asked[name] for name in _required(words) if name in asked and name not in back]
    shown = ", ".join(f"{name} {versions[name]} (newest: {current[name]})" for name in back)
    because = f", because of `{forcing[0].text}`; loosen that" if forcing else "; require newer ones"
    origin = forcing[0].origin if forcing else asked[back[0]].origin
    return [Notice(f"the resolution went back years, to {shown}{because}", origin)]


def _required(words: str) -> list[str]:
    """The package names that the resolver says the user requires, the last conclusion first."""
    clauses = re.findall(r"you require ((?:[^,.]|[,.](?!\s))+)", words)
    parts = (part for clause in reversed(clauses) for part in clause.split(" and "))
    return [name for part in parts if (name := required_name(part))]


def _limited(text: str) -> bool:
    """Whether a requirement itself excludes newer versions, or is a direct reference."""
    requirement = Requirement(text)
    return requirement.url is not None or any(
        specifier.operator in _LIMITING for specifier in requirement.specifier
    )
