"""Finding the wheels that a package's image installs, verified, for each platform."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import FetchError, Origin, PackagesError
from builder.packages.images.sbom import Installed
from builder.packages.locks import read_package_lock
from builder.packages.platforms import wheel_for
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.resolution.lock import Lock, allowed_hashes, read_lock
from builder.resolution.target import Target, platform_target
from builder.resolution.wheels import fetch_wheels
from builder.system import process, storage


@dataclass(frozen=True, slots=True)
class Staged:
    """The wheels that the image for one platform installs, each with its file.

    :param dependencies: those of the index.
    :param packages: those of the wheelhouse.
    """

    platform: str
    dependencies: tuple[tuple[Installed, Path], ...]
    packages: tuple[tuple[Installed, Path], ...]

    @property
    def wheels(self) -> tuple[Installed, ...]:
        """All of them."""
        return tuple(wheel for wheel, _path in (*self.dependencies, *self.packages))


def stage(
    wheelhouse: Wheelhouse, package: BuiltPackage, platforms: Sequence[str], python_version: str
) -> tuple[Staged, ...]:
    """Find the wheels of a package's image for each platform, and download those of the index.

    :param platforms: such as `linux/arm64`.
    :param python_version: of the base image, such as "3.11".

    Raises PackagesError if the lock does not match the wheelhouse, or if one of its packages has no wheel for a
    platform, FetchError if a download fails, SdistBuildError
    if a package has no wheel for a platform and cannot be built on this machine.
    """
    wheelhouse.check_wheels()
    locked = read_package_lock(wheelhouse.lock_path(package))
    own = _own_packages(wheelhouse, package, locked)
    names = {built.name for built in wheelhouse.packages}
    foreign = [entry for entry in locked if required_name(entry.text) not in names]
    # Missing wheels for a platform are reported before anything is fetched.
    packages = [_own_wheels(wheelhouse, own, platform, python_version) for platform in platforms]
    return tuple(
        Staged(platform, _fetch(foreign, platform, python_version, wheelhouse.directory), here)
        for platform, here in zip(platforms, packages, strict=True)
    )


def _own_packages(
    wheelhouse: Wheelhouse, package: BuiltPackage, locked: Iterable[RequirementLine]
) -> tuple[BuiltPackage, ...]:
    """The package and the siblings in its lock, whose hashes must be those of the wheelhouse's wheels."""
    here = {built.name: built for built in wheelhouse.packages}
    packages = {package.name: package}
    for entry in locked:
        built = here.get(required_name(entry.text))
        if built is None:
            continue
        if {f"sha256:{file.sha256}" for file in built.files} - {*entry.hashes}:
            raise PackagesError(
                f"the lock of `{package.name}` means another wheel of `{built.name}` than the wheelhouse has",
                where=Origin(wheelhouse.lock_path(package)),
                remedy="Run `builder.packages lock` again: the wheelhouse was built anew since",
            )
        packages[built.name] = built
    return tuple(packages[name] for name in sorted(packages))


def _own_wheels(
    wheelhouse: Wheelhouse, own: Sequence[BuiltPackage], platform: str, python_version: str
) -> tuple[tuple[Installed, Path], ...]:
    """The wheelhouse's wheels for a platform; raises PackagesError if a package has none for it."""
    target = platform_target(platform, python_version)
    wheels = [(built, wheel_for(built, target)) for built in own]
    return tuple(
        (
            Installed(
                name=built.name, version=built.version, filename=wheel.filename, sha256=wheel.sha256, own=True
            ),
            wheelhouse.directory / wheel.filename,
        )
        for built, wheel in wheels
    )


def _fetch(
    foreign: Sequence[RequirementLine], platform: str, python_version: str, base: Path
) -> tuple[tuple[Installed, Path], ...]:
    """Download the index's wheels for a platform."""
    target = platform_target(platform, python_version)
    lock = _lock(foreign, target, base)
    files = fetch_wheels(lock)
    return tuple(
        (
            Installed(
                name=dist.name, version=dist.version, filename=path.name, sha256=files[dist.name].sha256, own=False
            ),
            path,
        )
        for dist in lock.distributions
        for path in [files[dist.name].path]
    )


def _lock(foreign: Sequence[RequirementLine], target: Target, base: Path) -> Lock:
    """Find the files of pinned requirements on the index. uv selects no versions here, since all are pinned."""
    indexes = read_indexes(base)
    if not foreign:
        return Lock(target=target, distributions=(), text="", indexes=indexes)
    with storage.scratch_directory() as scratch:
        asked = scratch / "requirements.in"
        asked.write_text(
            "\n".join([*indexes.options, *(entry.written for entry in foreign), ""]), encoding="utf-8"
        )
        arguments: list[str | Path] = ["pip", "compile", asked, "--no-deps", "--format", "pylock.toml"]
        arguments += ["--python-version", target.python_version, "--python-platform", target.uv_platform]
        arguments += ["--no-header", "--no-annotate", "--no-python-downloads", "--quiet"]
        arguments += ["--python", sys.executable]
        try:
            finished = uv.run(arguments, cwd=base, extra_env=indexes.variables())
        except process.ProcessFailed as error:
            raise FetchError(
                "the package index does not give what the lock names",
                detail=error.detail,
                remedy="Check the network and the index settings, or run `builder.packages lock` again",
            ) from error
    lock = read_lock(finished.stdout, target, base=base, origin=Origin(base), hashes=allowed_hashes(foreign))
    return replace(lock, indexes=indexes)
