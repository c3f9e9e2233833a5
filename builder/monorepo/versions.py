"""Version schemes: one version for each family of packages, and the container tag for it.

The families of dagster's own repository share one number: core packages are 1.N.P where libraries are 0.(N+16).P.
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
"""How far the minor version of a library is ahead of that of the core."""

_LONGEST_TAG: Final = 128

_SHORT: Final = 7
"""Digits of a commit in a version, as `git rev-parse --short` has them."""


@dataclass(frozen=True, slots=True)
class FamilyVersions:
    """What the packages of each family are to be called, normalised as PEP 440 has it.

    :param notices: what these versions cannot do.
    """

    core: str
    libraries: str
    notices: tuple[Notice, ...] = ()

    def of(self, family: Family) -> str:
        """The version of a family."""
        return self.core if family == "core" else self.libraries


def parse_version(text: str) -> Version:
    """A version as PEP 440 reads it; raises UsageError for what is none."""
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(
            f"`{text}` is not a version (PEP 440)",
            remedy="Write one such as 1.13.30, 1.13.30rc1 or 1.13.30+acme.1",
        ) from None


def normalised(text: str | None) -> str | None:
    """A version as PEP 440 writes it; None for what is none."""
    try:
        return str(parse_version(text or ""))
    except UsageError:
        return None


def container_tag(version: str) -> str:
    """The container tag of a version: normalised (PEP 440), then `+` becomes `-` and `!` becomes `_`.

    Neither is legal in a tag, and a normalised version has neither of the two that stand for them: different
    versions have different tags. Raises UsageError for what is no version, or too long for a tag (128 characters).
    """
    tag = str(parse_version(version)).replace("+", "-").replace("!", "_")
    if len(tag) > _LONGEST_TAG:
        raise UsageError(
            f"version `{version}` is too long for a container tag, which has {_LONGEST_TAG} characters at most",
            remedy="Shorten the part behind the `+`",
        )
    return tag


def libraries_version(core: str) -> str:
    """The version of the libraries beside a core version: 0.(N+16).P for 1.N.P, otherwise the same."""
    version = parse_version(core)
    if version.epoch or version.major != 1:
        return str(version)
    return re.sub(r"^1\.\d+|^1(?=\D|$)", f"0.{version.minor + LIBRARY_MINOR_OFFSET}", str(version), count=1)


def core_version(libraries: str) -> str:
    """The version of the core beside one of the libraries: 1.N.P for 0.(N+16).P, otherwise the same."""
    version = parse_version(libraries)
    if version.epoch or version.major or version.minor < LIBRARY_MINOR_OFFSET:
        return str(version)
    return re.sub(r"^0\.\d+", f"1.{version.minor - LIBRARY_MINOR_OFFSET}", str(version), count=1)


def release_minor(version: str) -> int | None:
    """The N of a real release, 1.N.P or 0.(N+16).P; None for a placeholder or a version of another kind."""
    if normalised(version) is None:
        return None
    parsed = parse_version(version)
    if parsed.epoch or len(parsed.release) < 3:
        return None
    if parsed.major == 1:
        # 1.0.0.devN+SHA is what the scheme `dev` makes of every package, whatever its family.
        return None if parsed.release == (1, 0, 0) and parsed.is_devrelease else parsed.minor
    return (
        parsed.minor - LIBRARY_MINOR_OFFSET if parsed.major == 0 and parsed.minor >= LIBRARY_MINOR_OFFSET else None
    )


def next_versions(releases: list[str], *, build: int, commit: str) -> FamilyVersions:
    """A development version of the next patch with a local label: `1.13.30a0.dev42+gabc1234`.

    It sorts above every release so far and below the next one with its candidates, and no index takes it. The `a0`
    is there because dagster's libraries compare their version with the core's when they are imported, and fail on
    a development version that is not one of an alpha, a beta or a candidate (`dagster_shared.libraries`).

    :param releases: core versions, of real releases.
    """
    newest = max(map(parse_version, releases))
    patch = newest.micro + (0 if newest.is_devrelease else 1)
    core = str(parse_version(f"1.{newest.minor}.{patch}a0.dev{build}+g{commit[:_SHORT]}"))
    return FamilyVersions(core, libraries_version(core))


def dev_versions(*, build: int, commit: str) -> FamilyVersions:
    """`1.0.0.dev{BUILD}+{SHA}` for everything."""
    version = str(parse_version(f"1.0.0.dev{build}+{commit[:_SHORT]}"))
    notice = Notice(
        f"version {version} sorts below every real release: packages of others that require such as `dagster>=1.8`"
        " cannot be installed beside it; the scheme `next` has no such limit"
    )
    return FamilyVersions(version, version, (notice,))


def calver_versions(today: date, *, build: int) -> FamilyVersions:
    """`YYYY.MM.DD.BUILD` for everything, normalised (PEP 440): without leading zeros."""
    version = f"{today.year}.{today.month}.{today.day}.{build}"
    notice = Notice(
        f"version {version} sorts above every real release: packages of others that require such as `dagster<2`"
        " cannot be installed beside it"
    )
    return FamilyVersions(version, version, (notice,))


def manual_versions(version: str) -> FamilyVersions:
    """The given version for its family, core or libraries, and by the rule for the other."""
    core = core_version(version)
    libraries = libraries_version(core)
    parsed = parse_version(libraries)
    unusable = parsed.major == 0 and parsed.is_devrelease and parsed.pre is None
    notice = Notice(
        f"dagster's libraries cannot be imported with version {libraries}: of development versions they take only"
        " those of an alpha, a beta or a candidate, such as 1.13.30a0.dev1"
    )
    return FamilyVersions(core, libraries, (notice,) if unusable else ())
