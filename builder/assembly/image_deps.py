"""The dependency layers of an image: a lock's wheels, installed, grouped so that layers change rarely.

After a change of the lock, a registry is sent the layers that it touches. A wheel of 2 MB or more has a layer
of its own, the distributions of dagster's own repository, which are released together, have one, and all others
share one. For 71 distributions (dagster, dagster-cloud, pandas: 65 MB) that makes 9 layers: one more small
distribution sends 10 MB instead of 65, a release of dagster 2.5 MB, one of pandas 12 MB.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

from builder.assembly.archive import Member
from builder.assembly.collisions import Collisions
from builder.assembly.contents import PackedDistribution, packed_distribution
from builder.assembly.image_files import Scheme, installed_files
from builder.assembly.image_layer import LayerWriter, directories
from builder.assembly.layer import Layer, LayerContent
from builder.assembly.wheels import Wheel, WheelFile, in_order, open_wheel
from builder.errors import Notice
from builder.system import storage
from builder.terminal.formatting import counted

LAYER_VERSION: Final = "1"
"""Part of the key of every kept layer: increase it when the same wheels give other bytes."""

_LARGE: Final = 2_000_000
_MOST_LARGE: Final = 40
"""Container engines take 127 layers at most, and the base image has some."""

_FAMILY: Final = "dagster"


@dataclass(frozen=True, slots=True)
class DependencyLayers:
    """The layers of a lock's wheels, the one that changes most rarely first."""

    layers: tuple[Layer, ...]
    distributions: tuple[PackedDistribution, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class _Installed:
    wheel: Wheel
    files: tuple[Member, ...]


def dependency_layers(wheels: Sequence[WheelFile], scheme: Scheme, top: str = "") -> DependencyLayers:
    """Install wheels into layers; those that were made before are taken from the cache.

    :param wheels: a closed set for one target, in any order: neither closure nor tags are checked here.
    :param top: the normalised name of a distribution that has the last layer for itself, if any.

    Raises AssemblyError for a wheel that cannot be installed, and for two of one project; StorageError if the
    cache cannot be written.
    """
    opened = [open_wheel(file) for file in in_order(wheels)]
    installed, notices = _without_collisions(
        [_Installed(wheel, installed_files(wheel, scheme)) for wheel in opened]
    )
    contents = tuple(packed_distribution(installation.wheel, installation.files) for installation in installed)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        layers = pool.map(lambda group: _layer(group[0], group[1], scheme), _groups(installed, top))
        return DependencyLayers(tuple(layers), contents, tuple(notices))


def kept_layer(key: str, title: str, write: Callable[[LayerWriter], None]) -> Layer:
    """The layer of a key, which promises equal bytes: taken from the cache if it is whole there, or written."""
    directory = storage.cache_directory() / "layers" / key[:2] / key
    path, description = directory / "layer.tar.gz", directory / "layer.json"
    try:
        content = LayerContent(**json.loads(storage.read_checked(description) or ""))
        if f"sha256:{storage.sha256_of(path)}" == content.digest:
            storage.mark_used(path)
            return Layer(path, content, title)
    except (OSError, ValueError, TypeError):
        pass
    with storage.atomic_write(path) as stream:
        writer = LayerWriter(stream)
        write(writer)
        content = writer.finish()
    storage.write_checked(description, json.dumps(asdict(content)))
    return Layer(path, content, title)


def _groups(all_installed: Sequence[_Installed], top: str) -> Iterator[tuple[str, list[_Installed]]]:
    """Title and content of each layer."""
    installed = [installation for installation in all_installed if installation.wheel.file.project != top]
    size = {
        installation.wheel.file.project: sum(len(file.data) for file in installation.files)
        for installation in installed
    }
    family = [
        installation for installation in installed if installation.wheel.file.project.partition("-")[0] == _FAMILY
    ]
    others = [installation for installation in installed if installation not in family]
    large = [other for other in others if size[other.wheel.file.project] >= _LARGE]
    large = sorted(large, key=lambda installation: -size[installation.wheel.file.project])[:_MOST_LARGE]
    for installation in sorted(large, key=lambda installation: installation.wheel.file.project):
        yield f"{installation.wheel.name} {installation.wheel.version}", [installation]
    if small := [other for other in others if other not in large]:
        yield counted(len(small), "distribution"), small
    if family:
        yield "dagster's own distributions", family
    for installation in all_installed:
        if installation.wheel.file.project == top:
            yield f"{installation.wheel.name} {installation.wheel.version}", [installation]


def _layer(title: str, group: Sequence[_Installed], scheme: Scheme) -> Layer:
    files = [file for installation in group for file in installation.files]
    covered = [
        LAYER_VERSION,
        repr(scheme),
        *(installation.wheel.file.sha256 for installation in group),
        "",
        *sorted(file.name for file in files),
    ]

    def write(writer: LayerWriter) -> None:
        for member in directories(files, scheme.site_packages):
            writer.add(member)
        for file in files:
            writer.add(file)

    return kept_layer(
        hashlib.sha256("\0".join(covered).encode(errors="surrogateescape")).hexdigest(), title, write
    )


def _without_collisions(installed: Iterable[_Installed]) -> tuple[list[_Installed], list[Notice]]:
    """The same, each file only once: where two have it, that of the first stays."""
    owners: dict[str, tuple[_Installed, Member]] = {}
    collisions = Collisions()
    kept = []
    for installation in installed:
        files = []
        for file in installation.files:
            owner, first = owners.setdefault(file.name, (installation, file))
            if owner is installation:
                files.append(file)
            else:
                wheels = (owner.wheel.file.filename, installation.wheel.file.filename)
                collisions.add(file.name, (wheels[0], first), (wheels[1], file))
        kept.append(_Installed(installation.wheel, tuple(files)))
    return kept, list(collisions.notices("; the image has those of `{first}`"))
