"""The foundation of an image: the base image, its Python, and the user who runs the code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from builder.assembly.image_deps import LAYER_VERSION, kept_layer
from builder.assembly.image_files import Scheme
from builder.assembly.image_layer import LayerWriter
from builder.assembly.image_source import ImageUser, plain_user, removals, user_of_base
from builder.assembly.layer import Layer
from builder.errors import Notice
from builder.oci.base_image import MACHINES, BaseImage, fetch_base_image, fit
from builder.oci.image import ImageLayer
from builder.oci.reference import read_reference
from builder.resolution.target import Target
from builder.resolution.transport import Credentials
from builder.terminal.console import console

BASE: Final = "public.ecr.aws/docker/library/python:{version}-slim"
"""The image that Dagster's own tools build upon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """A base image, and the layout of builds on top of it for a target."""

    target: Target
    base: BaseImage
    scheme: Scheme
    user: ImageUser
    distributions: Mapping[str, Sequence[str]]

    def layers(self, made: Sequence[Layer], installed: Iterable[str]) -> list[ImageLayer]:
        """Layers to put upon the base image, after one that takes out of it what they replace, if there is any.

        :param installed: normalised names of the distributions in them.
        """
        removed = removals(self.distributions, installed)
        return [image_layer(layer) for layer in ([_removal_layer(removed), *made] if removed else made)]


def lay_foundation(
    base: str, target: Target, *, own_registry: bool, logins: Mapping[str, Credentials]
) -> Foundation:
    """Fetch a base image, and check that it can run builds for the target.

    :param base: its name; empty for the default one of the target's Python.
    :param own_registry: the image is for agents of the user's own: it runs without privileges, unless the base
        says otherwise. The serverless platform gets the user of its own images, which is root.
    :param logins: to registries, by host.

    Raises UsageError, PublishError, ImageError or TargetError.
    """
    reference = read_reference(base or BASE.format(version=target.python_version))
    with console.step(f"base image {reference}"), console.progress(f"fetching {reference}", None) as progress:
        image = fetch_base_image(
            reference,
            image_platform(target),
            credentials=logins.get(reference.host),
            arrived=progress.update,
        )
        python = fit(image, target)
    settings = image.config.get("config") or {}
    if entry := settings.get("Entrypoint"):
        words = entry if isinstance(entry, str) else " ".join(map(str, entry))
        said = f"the entry point of `{reference}` is left out: `{words}` is not run; do what it does in the code"
        console.notices([Notice(said)])
    named = settings.get("User") or ""
    return Foundation(
        target=target,
        base=image,
        scheme=Scheme(
            python=python.python,
            python_version=python.version,
            site_packages=python.site_packages,
            scripts=python.scripts,
            prefix=python.prefix,
        ),
        user=user_of_base(named, python.passwd)
        if named or not own_registry
        else plain_user(python.passwd, python.group),
        distributions=python.distributions,
    )


def image_platform(target: Target) -> str:
    """The platform of the image for a target, such as `linux/amd64`."""
    machine = target.markers["platform_machine"]
    return f"linux/{next((name for name, known in MACHINES.items() if known == machine), machine)}"


def image_layer(layer: Layer) -> ImageLayer:
    """A layer as a part of an image."""
    content = layer.content
    return ImageLayer(
        path=layer.path,
        digest=content.digest,
        size=content.size,
        diff_id=content.diff_id,
        title=layer.title,
    )


def _removal_layer(paths: Sequence[str]) -> Layer:
    """A layer that removes files of the base image whose distributions are replaced."""
    key = hashlib.sha256("\0".join(("removals", LAYER_VERSION, *paths)).encode()).hexdigest()

    def write(writer: LayerWriter) -> None:
        for path in paths:
            writer.remove(path[1:])

    return kept_layer(key, "replaced distributions of the base image", write)
