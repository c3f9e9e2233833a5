"""Building a location's image from a base image and a project, without a container engine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder import __version__
from builder.assembly.image_deps import LAYER_VERSION, dependency_layers
from builder.assembly.image_layer import Owner
from builder.assembly.image_source import APP, CODE, source_layer, state_layer
from builder.assembly.sbom import sbom
from builder.assembly.source_tree import ROOT
from builder.assembly.wheels import WheelFile
from builder.building.foundation import Foundation, image_layer
from builder.building.steps import (
    DepsBuild,
    SourceBuild,
    fetch_locked,
    local_wheels,
    rarely_needed,
    select_source,
    show_selection_notices,
    version_notices,
    write_file,
    write_lock,
)
from builder.building.workspace import ProjectBuild
from builder.oci.filesystem import open_layer
from builder.oci.image import ImageLayer, PlatformImage, Running, add_layer, write_image
from builder.oci.layout import Layout
from builder.oci.reference import REPOSITORY
from builder.project.dg_name import named_config
from builder.project.lifecycle import dockerfile_notices, refuse_scripts
from builder.project.location import Location, SourceTree
from builder.project.requirements import Requirements
from builder.resolution.backend import LocalPackages
from builder.resolution.lock import Lock
from builder.resolution.lock_warnings import importing_setuptools
from builder.resolution.target import Target
from builder.system.storage import Artefact
from builder.terminal.console import console

_COMMAND: Final = ("dagster", "api", "grpc")
_LABEL: Final = "org.opencontainers.image."
_LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The image of a location, as a layout on disk.

    :param name: of the location, as a repository can have it.
    :param layers: those upon the base image.
    :param base: the name of the base image.
    """

    name: str
    layout: Layout
    layers: tuple[ImageLayer, ...]
    base: str

    @property
    def digest(self) -> str:
        """Of its manifest, or of the index of several."""
        return self.layout.image.digest

    @property
    def size(self) -> int:
        """Bytes of the layers upon the base image."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class ImagePacking:
    """The layers of an image; see `builder.building.workspace.Packing`.

    :param scratch: where source layers are written.
    """

    foundation: Foundation
    out_dir: Path
    scratch: Path

    @property
    def target(self) -> Target:
        """See `Packing`."""
        return self.foundation.target

    def identity(self, lock: Lock) -> str:
        """See `Packing`."""
        return lock.identity(f"image {LAYER_VERSION}")

    def deps(self, lock: Lock, requirements: Requirements, about: str) -> DepsBuild:
        """See `Packing`."""
        files, fetching = fetch_locked(lock, about)
        identity = self.identity(lock)
        with console.step(f"{about}assembled") as assembling, console.progress(f"{about}assembling", None):
            wheels = [WheelFile(file.path, file.sha256) for file in files.values()]
            made = dependency_layers(wheels, self.foundation.scheme)
            total = sum(layer.content.size for layer in made.layers)
            place = Artefact(self.out_dir / f"deps-{identity}", total, "", identity)
            written = place.path.with_suffix(".cdx.json")
            write_file(written, sbom(lock, made.distributions, place))
            assembling.title = f"{about}assembled {len(made.layers)} dependency layers"
        console.notices([*importing_setuptools(lock, files), *made.notices])
        console.notices(rarely_needed(lock, made.distributions, requirements))
        return DepsBuild(
            name=place.name,
            size=place.size,
            sha256=None,
            identity=identity,
            artefact=None,
            lock=write_lock(lock, place.path),
            versions=lock.versions,
            dagster_version=lock.version_of("dagster") or "",
            seconds={"fetch": fetching, "assemble": assembling.seconds},
            distributions=made.distributions,
            sbom=written,
            layers=made.layers,
        )

    def source(
        self, tree: SourceTree, packages: Sequence[Path], own: LocalPackages, include: Sequence[str], about: str
    ) -> SourceBuild:
        """See `Packing`. Raises ProjectError for scripts that only a Docker build can run."""
        refuse_scripts(tree)
        console.notices(dockerfile_notices(tree))
        with console.step(f"{about}packed the source layer") as step, console.progress(f"{about}packing", None):
            source = select_source(tree, self.out_dir, include)
            show_selection_notices(source)
            wheels = local_wheels(packages, own, self.target)
            key = hashlib.sha256(repr(tree).encode()).hexdigest()[:16]
            made = source_layer(
                source.inside,
                wheels,
                source.others,
                scheme=self.foundation.scheme,
                user=self.foundation.user,
                changed=dict([config] if (config := named_config(tree.directory)) else []),
                out_dir=self.scratch / key,
            )
        console.notices([*made.notices, *version_notices(packages)])
        files = sum(len(selection.files) for selection in source.selections)
        content = made.layer.content
        digest = content.digest.removeprefix("sha256:")
        return SourceBuild(
            artefact=Artefact(made.layer.path, content.size, digest, digest),
            files=files,
            seconds={"source": step.seconds},
            contents=made.files,
            layer=made.layer,
            installed=tuple(WheelFile(wheel, "").project for wheel in wheels),
        )

    def place(self, name: str) -> str:
        """See `Packing`."""
        site_packages = self.foundation.scheme.site_packages[1:]
        for place, root in ((f"{site_packages}/", ""), (f"{APP[1:]}/", f"{ROOT}/")):
            if name.startswith(place):
                return f"{root}{name.removeprefix(place)}"
        return name

    def warm_up(self) -> None:
        """See `Packing`."""


def write_location_image(
    location: Location,
    builds: Sequence[tuple[Foundation, ProjectBuild]],
    out_dir: Path,
    labels: Mapping[str, str],
) -> BuiltImage:
    """Write the image of a location to `OUT_DIR/image-NAME`.

    :param builds: what was built for each platform, upon what.
    :param labels: what else is known of the image, such as the commit.
    """
    name = image_name(location.name)
    layers: dict[str, ImageLayer] = {}
    images = []
    for foundation, build in builds:
        made = [*build.deps.layers, *([build.source.layer] if build.source.layer else [])]
        own = foundation.layers(made, [*build.deps.versions, *build.source.installed])
        layers |= {layer.digest: layer for layer in own}
        images.append(PlatformImage(foundation.base, own, _running(location, foundation, build, labels)))
    layout = write_image(out_dir / f"image-{name}", name, images, "latest")
    return BuiltImage(name, layout, tuple(layers.values()), str(builds[0][0].base.reference))


def with_state(image: BuiltImage, files: Mapping[str, bytes], scratch: Path) -> BuiltImage:
    """Put a layer with the state of components above the code of an image, in its layout.

    :param files: by their names in the working directory of the code.
    :param scratch: where the layer is written.
    """
    code = next(layer for layer in image.layers if layer.title == CODE)
    with open_layer(image.layout.whole_blob(code.digest)) as archive:
        owner = next(Owner(member.uid, member.gid) for member in archive if member.name == APP[1:])
    layer = image_layer(state_layer(files, scratch / "state.tar.gz", owner))
    if layer.digest == image.layers[-1].digest:
        # It was delivered before, with the same state.
        return image
    return replace(image, layout=add_layer(image.layout, layer), layers=(*image.layers, layer))


def image_name(location: str) -> str:
    """The name of a location as a repository can have it: lower case, without blanks and signs.

    One that has to be changed gets a part of its hash, so that no two locations have one name.
    """
    if REPOSITORY.fullmatch(location) and "/" not in location and len(location) <= _LONGEST_NAME:
        return location
    plain = re.sub(r"[^a-z0-9]+", "-", location.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    mark = hashlib.sha256(location.encode()).hexdigest()[:8]
    return f"{plain}-{mark}" if plain else mark


def _running(
    location: Location, foundation: Foundation, build: ProjectBuild, labels: Mapping[str, str]
) -> Running:
    user, base = foundation.user, foundation.base
    return Running(
        user=user.name,
        working_directory=APP,
        command=_COMMAND,
        variables={"HOME": user.home} if user.home else {},
        labels={
            f"{_LABEL}title": location.name,
            f"{_LABEL}base.name": str(base.reference),
            f"{_LABEL}base.digest": base.digest,
            "builder.version": __version__,
            "builder.python-version": foundation.target.python_version,
            **({"builder.dagster-version": build.deps.dagster_version} if build.deps.dagster_version else {}),
            **labels,
        },
    )
