"""The lock: the resolved distributions for one target, with hashes (PEP 751)."""

from __future__ import annotations

import functools
import hashlib
import json
import os.path
import tomllib
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeVar

import tomli_w
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.version import Version

from builder.errors import InvalidLockError, Origin, ResolutionError
from builder.project.names import required_name
from builder.project.requirements import NO_EXTRAS, RequestedExtras, Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution.indexes import Indexes, local_path
from builder.resolution.target import Target

if TYPE_CHECKING:
    _File = TypeVar("_File", PackageWheel, PackageSdist, PackageArchive)
    Choice = PackageWheel | PackageSdist | PackageArchive | PackageVcs
    AnyChoice = Choice | PackageDirectory

Hashes = dict[str, frozenset[str]]
"""The sha256 digests that the user's requirements allow, by normalised name."""

_HASHING = "`uv pip compile requirements.in --generate-hashes -o requirements.txt`, or the same of pip-compile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One distribution of a lock, with where to fetch it.

    :param name: normalised.
    :param version: empty if only a build determines it (a git repository).
    :param kind: a wheel, or a source to build one from.
    :param location: a URL, perhaps with credentials (never print it), or the path of a local file.
    :param filename: the wheel's or sdist's own name; for git the repository's.
    :param digest: sha256, or the commit for git.
    :param size: in bytes, if the lock has it.
    :param subdirectory: the package's directory inside a repository or an archive.
    :param uploaded: when it was uploaded to the index, if the lock has it; not part of the lock's identity.
    """

    name: str
    version: str
    kind: Literal["wheel", "sdist", "git"]
    location: str | Path
    filename: str
    digest: str
    size: int | None = None
    subdirectory: str | None = None
    uploaded: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock for one target.

    :param distributions: one of each name, sorted by name, without the user's own packages.
    :param text: the lock as a `pylock.toml` with exactly these distributions.
    :param indexes: how the distributions are reached; not part of the lock's identity.
    :param asked: what it was resolved for, if that is known; not part of its identity either.
    """

    target: Target
    distributions: tuple[Distribution, ...]
    text: str
    indexes: Indexes = field(default_factory=Indexes, compare=False)
    asked: Requirements | None = field(default=None, compare=False, repr=False)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of all distributions by their normalised names."""
        return {dist.name: dist.version for dist in self.distributions}

    @property
    def size(self) -> int | None:
        """The download size of all distributions in bytes; None if that of any is unknown."""
        sizes = [dist.size for dist in self.distributions]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def version_of(self, name: str) -> str | None:
        """The version of a distribution by its normalised name; None if it is not in the lock."""
        return self.versions.get(name)

    def identity(self, layout: str) -> str:
        """A hash of the lock, its target and the layout version: 40 hexadecimal digits.

        URLs are not part of it: the same distributions from a mirror give the same identity.
        """
        content = [layout, self.target.python_version, self.target.tag_names[0]]
        content += [f"{dist.name} {dist.version} {dist.filename} {dist.digest}" for dist in self.distributions]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]


def allowed_hashes(lines: Iterable[RequirementLine]) -> Hashes:
    """The hashes that requirements allow, by package name.

    A package may have several requirements, for several versions, with markers that exclude each other.
    """
    allowed: Hashes = {}
    for line in lines:
        if line.hashes:
            name = required_name(line.text)
            digests = (value.removeprefix("sha256:") for value in line.hashes if value.startswith("sha256:"))
            allowed[name] = allowed.get(name, frozenset()).union(digests)
    return allowed


def read_lock(
    text: str,
    target: Target,
    *,
    base: Path,
    origin: Origin,
    hashes: Hashes,
    places: Mapping[str, Origin] = MappingProxyType({}),
    wanted: RequestedExtras = NO_EXTRAS,
) -> Lock:
    """Select the distributions of a `pylock.toml` for a target.

    :param base: the base directory of relative paths in the lock.
    :param origin: the file to name in errors.
    :param hashes: the hashes that the user allows for each name; empty to allow all.
    :param places: where the user allows them.
    :param wanted: extras and dependency groups to select besides the lock's default groups.

    Raises ResolutionError if the text is not a valid lock, or has no distribution for the target.
    """
    try:
        pylock = Pylock.from_dict(tomllib.loads(text))
    except (ValueError, RecursionError, PylockValidationError) as error:
        raise InvalidLockError(error, origin) from error
    selected = _select(_only_allowed(pylock, hashes, places, origin), target, origin, wanted)
    chosen = [(package, choice) for package, choice in selected if not isinstance(choice, PackageDirectory)]
    distributions = [_distribution(package, choice, base) for package, choice in chosen]
    distributions.sort(key=lambda dist: dist.name)
    return Lock(target=target, distributions=tuple(distributions), text=_write(pylock, chosen, base))


def _select(
    pylock: Pylock, target: Target, origin: Origin, wanted: RequestedExtras
) -> list[tuple[Package, AnyChoice]]:
    known = {*(pylock.extras or ()), *(pylock.dependency_groups or ())}
    for name in (*wanted.extras, *wanted.groups):
        if name not in known:
            remedy = f"Choose from {', '.join(sorted(known))}" if known else "Lock it, or do not ask for it"
            raise ResolutionError(f"the lock has no extra or group `{name}`", where=origin, remedy=remedy)
    choose = functools.partial(
        Pylock.select,
        environment=dict(target.markers),  # type: ignore[arg-type]
        tags=target.tags,
        extras=wanted.extras,
        dependency_groups=(*(pylock.default_groups or ()), *wanted.groups),
    )
    try:
        return list(choose(pylock))
    except PylockSelectError as error:
        # packaging stops at the first problem, but the error should list all of them.
        problems = {str(error): None}
        for package in pylock.packages:
            try:
                list(choose(replace(pylock, packages=[package])))
            except PylockSelectError as other:
                problems[str(other)] = None
        raise ResolutionError(
            f"the lock has nothing to install on {target.description}",
            where=origin,
            detail="\n".join(problems),
            remedy="Lock these for the target too, or choose another Python with --python-version",
        ) from error


def _only_allowed(pylock: Pylock, hashes: Hashes, places: Mapping[str, Origin], origin: Origin) -> Pylock:
    """Remove files whose hashes the user does not allow; a package without any allowed hash is an error."""
    if not hashes:
        return pylock
    packages = []
    for package in pylock.packages:
        allowed = hashes.get(package.name)
        if allowed is None:
            raise ResolutionError(
                f"`{package.name}=={package.version}` is needed, but the requirements give no hash for it",
                where=places.get(package.name, origin),
                remedy="Where one requirement has a --hash, all need one, those that others bring along, too:"
                f" {_HASHING}",
            )
        wheels = [wheel for wheel in package.wheels or () if wheel.hashes.get("sha256") in allowed]
        sdist = package.sdist if package.sdist and package.sdist.hashes.get("sha256") in allowed else None
        if not wheels and sdist is None and package.archive is None:
            raise ResolutionError(
                f"no file of `{package.name}=={package.version}` has a hash that the requirements allow",
                where=places.get(package.name, origin),
                remedy=f"If you trust the index, make the hashes again: {_HASHING}",
            )
        packages.append(replace(package, wheels=wheels or None, sdist=sdist))
    return replace(pylock, packages=packages)


def _distribution(package: Package, choice: Choice, base: Path) -> Distribution:
    version = str(package.version or "")
    if isinstance(choice, PackageVcs):
        url = choice.url or choice.path or ""
        repository = url.rstrip("/").rpartition("/")[2]
        return Distribution(
            name=package.name,
            version=version,
            kind="git",
            location=url,
            filename=repository,
            digest=choice.commit_id,
            size=None,
            subdirectory=choice.subdirectory,
        )
    location: str | Path = choice.url or base / (choice.path or "")
    if choice.url and choice.url.startswith("file:"):
        location = local_path(choice.url) or base
    filename = _filename(choice, location)
    digest = choice.hashes.get("sha256")
    if digest is None:
        what = f"the lock has no sha256 for `{filename}`"
        raise ResolutionError(what, remedy="Make the lock again with sha256 hashes")
    subdirectory = choice.subdirectory if isinstance(choice, PackageArchive) else None
    kind: Literal["wheel", "sdist"] = "wheel" if filename.endswith(".whl") else "sdist"
    return Distribution(
        name=package.name,
        version=version or _version(filename),
        kind=kind,
        location=location,
        filename=filename,
        digest=digest,
        size=choice.size,
        subdirectory=subdirectory,
        uploaded=choice.upload_time,
    )


def _filename(choice: PackageWheel | PackageSdist | PackageArchive, location: str | Path) -> str:
    named = getattr(choice, "name", None)
    if isinstance(named, str):
        return named
    path = location.as_posix() if isinstance(location, Path) else urllib.parse.urlsplit(location).path
    return urllib.parse.unquote(path.rpartition("/")[2])


def _version(filename: str) -> str:
    parts = filename.split("-")
    return parts[1] if filename.endswith(".whl") and len(parts) > 1 else ""


def _write(pylock: Pylock, chosen: Iterable[tuple[Package, Choice]], base: Path) -> str:
    """Write a lock with only the chosen files, in canonical form: the same choice gives the same bytes."""
    packages = []
    for package, choice in chosen:
        bare = replace(package, marker=None, index=None, dependencies=None, wheels=None, sdist=None, tool=None)
        if isinstance(choice, PackageWheel):
            packages.append(replace(bare, wheels=[_portable(choice, base)]))
        elif isinstance(choice, PackageSdist):
            packages.append(replace(bare, sdist=_portable(choice, base)))
        elif isinstance(choice, PackageArchive):
            packages.append(replace(bare, archive=_portable(choice, base)))
        else:
            packages.append(replace(bare, vcs=replace(choice, url=_without_credentials(choice.url or ""))))
    packages.sort(key=lambda package: package.name)
    reduced = replace(
        pylock,
        lock_version=Version("1.0"),
        created_by="builder",
        packages=packages,
        environments=None,
        extras=None,
        dependency_groups=None,
        default_groups=None,
        tool=None,
    )
    return tomli_w.dumps(reduced.to_dict())


def _portable(file: _File, base: Path) -> _File:
    """Remove credentials, upload times and local paths from a file's entry."""
    local = local_path(file.url) if file.url and file.url.startswith("file:") else None
    path = local or (base / file.path if file.path else None)
    url = _without_credentials(file.url) if file.url and not local else None
    relative = Path(os.path.relpath(path, base)).as_posix() if path else None
    return replace(file, url=url, path=relative, upload_time=None)


def _without_credentials(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
