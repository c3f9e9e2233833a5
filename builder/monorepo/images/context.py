"""Writing the build context of a package's image: the verified wheels to install, for each platform."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from builder.errors import FetchError, Origin, PackagesError
from builder.monorepo.images.sbom import Installed
from builder.monorepo.locks import read_package_lock
from builder.monorepo.platforms import wheel_for
from builder.monorepo.wheelhouse import BuiltPackage, Wheelhouse
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.resolution.lock import Lock, allowed_hashes, read_lock
from builder.resolution.sdists import fetch_wheels
from builder.resolution.target import Target, platform_target
from builder.system import process, storage


@dataclass(frozen=True, slots=True)
class Staged:
    """The wheels that the image for one platform installs."""

    platform: str
    wheels: tuple[Installed, ...]


def write_context(
    directory: Path, wheelhouse: Wheelhouse, package: BuiltPackage, platforms: Sequence[str], python_version: str
) -> tuple[Staged, ...]:
    """Write the build context of a package's image; returns the wheels for each platform.

    :param directory: an empty directory.
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
    # What lacks a wheel for one of the platforms is told before anything is fetched.
    for platform in platforms:
        _own_wheels(wheelhouse, own, platform, python_version)
    for name in ("Dockerfile", "verify_import.py"):
        source = resources.files("builder.monorepo.images") / name
        (directory / name).write_bytes(source.read_bytes())
    return tuple(
        _write_platform(directory, wheelhouse, own, foreign, platform, python_version) for platform in platforms
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


def _write_platform(
    directory: Path,
    wheelhouse: Wheelhouse,
    own: Sequence[BuiltPackage],
    foreign: Sequence[RequirementLine],
    platform: str,
    python_version: str,
) -> Staged:
    place = directory / platform.replace("/", "-")
    packages = _own_wheels(wheelhouse, own, platform, python_version)
    dependencies = _fetch(foreign, platform, python_version, wheelhouse.directory)
    for name, wheels in (("packages", packages), ("dependencies", dependencies)):
        (place / name).mkdir(parents=True)
        lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel, _path in wheels]
        (place / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
        for wheel, path in wheels:
            shutil.copyfile(path, place / name / wheel.filename)
    return Staged(platform, tuple(wheel for wheel, _path in (*dependencies, *packages)))


def _own_wheels(
    wheelhouse: Wheelhouse, own: Sequence[BuiltPackage], platform: str, python_version: str
) -> list[tuple[Installed, Path]]:
    """The wheelhouse's wheels for a platform; raises PackagesError if a package has none for it."""
    target = platform_target(platform, python_version)
    wheels = [(built, wheel_for(built, target)) for built in own]
    return [
        (
            Installed(
                name=built.name, version=built.version, filename=wheel.filename, sha256=wheel.sha256, own=True
            ),
            wheelhouse.directory / wheel.filename,
        )
        for built, wheel in wheels
    ]


def _fetch(
    foreign: Sequence[RequirementLine], platform: str, python_version: str, base: Path
) -> list[tuple[Installed, Path]]:
    """Download the index's wheels for a platform."""
    target = platform_target(platform, python_version)
    lock = _lock(foreign, target, base)
    files = fetch_wheels(lock)
    return [
        (
            Installed(
                name=dist.name, version=dist.version, filename=path.name, sha256=files[dist.name].sha256, own=False
            ),
            path,
        )
        for dist in lock.distributions
        for path in [files[dist.name].path]
    ]


def _lock(foreign: Sequence[RequirementLine], target: Target, base: Path) -> Lock:
    """Find the files of pinned requirements on the index. uv selects no versions here, since all are pinned."""
    indexes = read_indexes(base)
    if not foreign:
        return Lock(target, (), "", indexes)
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
