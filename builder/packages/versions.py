"""Version schemes, which give each family of packages a version, and container tags of versions.

In dagster's own repository, core packages are 1.N.P when libraries are 0.(N+16).P.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, get_args

from packaging.version import InvalidVersion, Version

from builder.errors import Notice, UsageError

Family = Literal["core", "libraries"]
Scheme = Literal["next", "dev", "calver", "manual"]

FAMILIES: Final[tuple[Family, ...]] = get_args(Family)

LIBRARY_MINOR_OFFSET: Final = 16
"""The difference between the minor versions of the libraries and the core."""

_RELEASE_TAG: Final = re.compile(r"(?:release-|v)?(\d+\.\d+\.\d+\S*)")
_LONGEST_TAG: Final = 128

_SHORT: Final = 7
"""Digits of a commit hash in a version, as in `git rev-parse --short`."""


@dataclass(frozen=True, slots=True)
class FamilyVersions:
    """The new version of each family, normalised (PEP 440).

    :param notices: warnings about limitations of these versions.
    """

    core: str
    libraries: str
    notices: tuple[Notice, ...] = ()

    def of(self, family: Family) -> str:
        """The version of a family."""
        return self.core if family == "core" else self.libraries


def parse_version(text: str) -> Version:
    """Parse a version (PEP 440); raises UsageError for an invalid one."""
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"`{text}` is not a version (PEP 440)",
            remedy="Write one such as 1.13.30, 1.13.30rc1 or 1.13.30+acme.1",
        ) from None


def normalised(text: str | None) -> str | None:
    """Normalise a version (PEP 440); None for an invalid one."""
    try:
        return str(parse_version(text or ""))
    except UsageError:
        return None


def container_tag(version: str) -> str:
    """The container tag of a version: normalised (PEP 440), then `+` becomes `-` and `!` becomes `_`.

    Neither character is allowed in a tag, and normalised versions contain no `-` or `_`, so different versions
    have different tags. Raises UsageError for an invalid version, or one too long for a tag (128 characters).
    """
    tag = str(parse_version(version)).replace("+", "-").replace("!", "_")
    if len(tag) > _LONGEST_TAG:
        raise UsageError(
            f"version `{version}` is too long for a container tag, which has {_LONGEST_TAG} characters at most",
            remedy="Shorten the part behind the `+`",
        )
    return tag


def libraries_version(core: str) -> str:
    """The libraries' version that belongs to a core version: 0.(N+16).P for 1.N.P, otherwise the same."""
    version = parse_version(core)
    if version.epoch or version.major != 1:
        return str(version)
    return re.sub(r"^1\.\d+|^1(?=\D|$)", f"0.{version.minor + LIBRARY_MINOR_OFFSET}", str(version), count=1)


def core_version(libraries: str) -> str:
    """The core version that belongs to a libraries' version: 1.N.P for 0.(N+16).P, otherwise the same."""
    version = parse_version(libraries)
    if version.epoch or version.major or version.minor < LIBRARY_MINOR_OFFSET:
        return str(version)
    return re.sub(r"^0\.\d+", f"1.{version.minor - LIBRARY_MINOR_OFFSET}", str(version), count=1)


def release_minor(version: str) -> int | None:
    """The N of a release version 1.N.P or 0.(N+16).P; None for a placeholder or any other version."""
    if normalised(version) is None:
        return None
    parsed = parse_version(version)
    if parsed.epoch or len(parsed.release) < 3:
        return None
    if parsed.major == 1:
        return None if _is_of_scheme_dev(parsed) else parsed.minor
    return (
        parsed.minor - LIBRARY_MINOR_OFFSET if parsed.major == 0 and parsed.minor >= LIBRARY_MINOR_OFFSET else None
    )


def tagged_release(tag: str) -> str | None:
    """The release version in a tag of git, such as `1.13.30` or `release-1.13.30`; None if there is none."""
    match = _RELEASE_TAG.fullmatch(tag)
    return match[1] if match and release_minor(match[1]) is not None else None


def _is_of_scheme_dev(version: Version) -> bool:
    """Whether a version is 1.0.0.devN, perhaps with a local label, which the scheme gives to every family."""
    return version.public == f"1.0.0.dev{version.dev}"


def next_versions(releases: list[str], *, build: int, commit: str) -> FamilyVersions:
    """A development version of the next patch with a local label: `1.13.30a0.dev42+gabc1234`.

    It sorts above all existing releases and below the next one and its candidates, and public indexes reject it.
    The `a0` is needed because dagster's libraries compare their version with the core's on import, and fail for a
    development version without an alpha, beta or candidate segment (`dagster_shared.libraries`).

    :param releases: core versions of releases.
    """
    newest = max(map(parse_version, releases))
    patch = newest.micro + (0 if newest.is_devrelease else 1)
    core = str(parse_version(f"1.{newest.minor}.{patch}a0.dev{build}+g{commit[:_SHORT]}"))
    return FamilyVersions(core, libraries_version(core))


def dev_versions(*, build: int, commit: str) -> FamilyVersions:
    """`1.0.0.dev{BUILD}+{SHA}` for all families."""
    return _of_scheme_dev(str(parse_version(f"1.0.0.dev{build}+{commit[:_SHORT]}")))


def _of_scheme_dev(version: str) -> FamilyVersions:
    notice = Notice(
        f"version {version} sorts below every real release: packages of others that require such as `dagster>=1.8`"
        " cannot be installed beside it; the scheme `next` has no such limit"
    )
    return FamilyVersions(version, version, (notice,))


def calver_versions(today: date, *, build: int) -> FamilyVersions:
    """`YYYY.MM.DD.BUILD` for all families, normalised (PEP 440): without leading zeros."""
    version = f"{today.year}.{today.month}.{today.day}.{build}"
    notice = Notice(
        f"version {version} sorts above every real release: packages of others that require such as `dagster<2`"
        " cannot be installed beside it; the scheme `next` has no such limit"
    )
    return FamilyVersions(version, version, (notice,))


def manual_versions(version: str) -> FamilyVersions:
    """The given version for its family, core or libraries, and the corresponding version for the other.

    One of the scheme `dev`, such as `1.0.0.dev123+abc1234`, is for all families, as that scheme gives it.
    """
    if _is_of_scheme_dev(parse_version(version)):
        return _of_scheme_dev(str(parse_version(version)))
    core = core_version(version)
    libraries = libraries_version(core)
    parsed = parse_version(libraries)
    unusable = parsed.major == 0 and parsed.is_devrelease and parsed.pre is None
    notice = Notice(
        f"dagster's libraries cannot be imported with version {libraries}: of development versions they take only"
        " those of an alpha, a beta or a candidate, such as 1.13.30a0.dev1"
    )
    return FamilyVersions(core, libraries, (notice,) if unusable else ())
