"""The deps PEX: every wheel of a lock in one file, spliced instead of compressed.

A wheel is a zip file, and so is a PEX whose wheels are installed already: each entry's deflate stream is copied as
it is under its new name. Whatever is not copied is stored, so the bytes do not depend on the zlib at hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.assembly.archive import ArchiveWriter, Member
from builder.assembly.bootstrap import bootstrap
from builder.assembly.collisions import Collisions
from builder.assembly.contents import PackedDistribution, packed_distribution
from builder.assembly.installation import LAYOUT, STASH, InstalledWheel, UnsupportedWheelError, install
from builder.assembly.pex_file import frame, preamble
from builder.assembly.pex_installation import install_by_pex
from builder.assembly.wheels import Wheel, WheelFile, in_order, open_wheel
from builder.errors import Notice
from builder.system import storage
from builder.system.storage import Artefact

LAYOUT_VERSION: Final = "2"
"""Part of every name and cache key: increase it when the same wheels give other bytes."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A deps PEX, what it is made of by project, and its warnings."""

    artefact: Artefact
    distributions: tuple[PackedDistribution, ...]
    notices: tuple[Notice, ...]


def assemble_deps_pex(
    wheels: Sequence[WheelFile], *, identity: str, python_version: str, out_dir: Path
) -> Assembled:
    """Write `deps-{identity}.pex`, with the wheels installed, into `out_dir`.

    :param wheels: a closed set for one target, in any order: neither closure nor tags are checked here.
    :param identity: names the file; must cover the wheels' hashes, `python_version` and LAYOUT_VERSION.
    :param python_version: such as `"3.11"`: what receivers must run.

    Raises AssemblyError for a wheel that cannot be installed, two of one project, or a file beyond the limits of a
    runnable zip file; StorageError if it cannot be written. A wheel that cannot be spliced is installed by pex,
    with a notice; there is a notice too for each two wheels that install different files under one name.
    """
    installed, notices = _install_all(wheels, python_version)
    path = out_dir / f"deps-{identity}.pex"
    with storage.atomic_write(path, mode=0o755) as stream:
        writer = ArchiveWriter(stream, preamble=preamble(python_version))
        for member in _members(installed, python_version):
            writer.add(member)
        size, sha256 = writer.finish()
    contents = [packed_distribution(installation.wheel, installation.members) for installation in installed]
    artefact = Artefact(path, size, sha256, identity)
    return Assembled(
        artefact,
        tuple(contents),
        (*notices, *_collisions(installed).notices(", but only one of them will be there")),
    )


def _install_all(files: Iterable[WheelFile], python_version: str) -> tuple[list[InstalledWheel], list[Notice]]:
    installed: list[InstalledWheel] = []
    unusual: list[Wheel] = []
    notices: list[Notice] = []
    for file in in_order(files):
        wheel = open_wheel(file)
        try:
            installed.append(install(wheel))
        except UnsupportedWheelError as reason:
            unusual.append(wheel)
            notices.append(Notice(f"`{file.filename}` is installed by pex, because {reason}", is_note=True))
    if unusual:
        installed += install_by_pex(unusual, python_version=python_version)
        installed.sort(key=lambda installation: installation.wheel.file.project)
    return installed, notices


def _members(installed: Sequence[InstalledWheel], python_version: str) -> Iterator[Member]:
    yield from bootstrap().members
    for installation in installed:
        directory = f".deps/{installation.wheel.file.filename}"
        for member in installation.members:
            yield member._replace(name=f"{directory}/{member.name}")
    yield from frame(
        python_version=python_version,
        code_hash=hashlib.sha256(b"").hexdigest()[:40],
        requirements=[installation.wheel.requirement for installation in installed],
        distributions={
            installation.wheel.file.filename: _cache_key(installation.wheel.file) for installation in installed
        },
    )


def _cache_key(file: WheelFile) -> str:
    # Receivers keep installed wheels under this key for good and never look inside again. The wheel's own hash
    # is the key of wheels that are not installed yet, which an old pex takes for empty ones: hence the salt.
    return hashlib.sha256(f"dagster-builder deps layout {LAYOUT_VERSION}\0{file.sha256}".encode()).hexdigest()


def _collisions(installed: Sequence[InstalledWheel]) -> Collisions:
    owners: dict[str, tuple[str, Member]] = {}
    collisions = Collisions()
    for installation in installed:
        filename = installation.wheel.file.filename
        for member in installation.members:
            owner = owners.setdefault(member.name, (filename, member))
            if member.crc != owner[1].crc and member.name != LAYOUT:
                collisions.add(member.name.removeprefix(f"{STASH}/"), owner, (filename, member))
    return collisions
