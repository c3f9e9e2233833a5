"""Wheels of packages with native code: one for each platform, from the wheelhouses of several machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from packaging.utils import parse_wheel_filename

from builder.errors import PackagesError, UsageError
from builder.packages.wheelhouse import BuiltPackage, WheelFile, Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.resolution.target import Target
from builder.system import storage
from builder.terminal.console import console
from builder.terminal.formatting import quoted

_EVERYWHERE: Final = "-any.whl"


def is_native(package: BuiltPackage) -> bool:
    """Whether a package has wheels for some platforms only."""
    return not package.wheel.endswith(_EVERYWHERE)


def platform_tags(filename: str) -> str:
    """The tags of a wheel, such as `cp311-abi3-linux_x86_64`."""
    return "-".join(filename.removesuffix(".whl").rsplit("-", 3)[1:])


def wheel_for(package: BuiltPackage, target: Target) -> WheelFile:
    """The wheel of a package that a target can install; raises PackagesError if there is none."""
    accepted = {tag: rank for rank, tag in enumerate(target.tags)}
    fitting = [
        (min(accepted[tag] for tag in tags), file)
        for file in package.files
        if (tags := parse_wheel_filename(file.filename)[3] & accepted.keys())
    ]
    if not fitting:
        there = quoted(platform_tags(file.filename) for file in package.files)
        raise PackagesError(
            f"`{package.name}` has no wheel for {target.description}: the wheelhouse has {there}",
            remedy="Build it on such a machine, then `builder.packages merge` both and `lock` again",
        )
    return min(fitting, key=lambda ranked: ranked[0])[1]


def merge_wheelhouses(wheelhouse_dir: Path, others: Sequence[Path]) -> None:
    """Add the wheels for other platforms that other wheelhouses of the same commit and versions have.

    Of packages without native code, nothing is taken. Locks have to be written again.
    """
    wheelhouse = read_wheelhouse(wheelhouse_dir)
    wheelhouse.check_wheels()
    for directory in others:
        other = read_wheelhouse(directory)
        other.check_wheels()
        if other.commit != wheelhouse.commit:
            raise UsageError(
                f"`{directory}` was built of commit {other.commit}, `{wheelhouse_dir}` of {wheelhouse.commit}",
                remedy="Build both of the same commit",
            )
        wheelhouse = replace(
            wheelhouse, packages=tuple(_merged(wheelhouse, package, other) for package in wheelhouse.packages)
        )
    write_wheelhouse(wheelhouse)
    rows = [
        [package.name, file.filename, file.sha256]
        for package in wheelhouse.packages
        if is_native(package)
        for file in package.files
    ]
    console.table(["package", "wheel", "sha256"], rows)


def _merged(wheelhouse: Wheelhouse, package: BuiltPackage, other: Wheelhouse) -> BuiltPackage:
    theirs = next((candidate for candidate in other.packages if candidate.name == package.name), None)
    if theirs is None or not is_native(package):
        return package
    if theirs.version != package.version:
        raise UsageError(
            f"`{package.name}` {theirs.version} of `{other.directory}` is not {package.version}, as the other is",
            remedy="Give the packages the same version before they are built",
        )
    there = {file.filename for file in package.files}
    more = tuple(file for file in theirs.files if file.filename not in there)
    for file in more:
        with storage.atomic_write(wheelhouse.directory / file.filename) as stream:
            stream.write((other.directory / file.filename).read_bytes())
    return replace(package, other_wheels=(*package.other_wheels, *more))
