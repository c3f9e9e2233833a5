"""Assembling an image from a base image and new layers: its configuration, manifest and layout on disk."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from builder.oci.base_image import BaseImage
from builder.oci.layout import (
    INDEX,
    OCI,
    Descriptor,
    Document,
    Format,
    Layout,
    LayoutWriter,
    canonical,
    read_descriptor,
    read_layout,
    writing,
)

_CREATED: Final = datetime(1980, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
"""The date of an image unless another is given: constant, so that equal content gives an equal image."""

_INHERITED: Final = ("ExposedPorts", "Volumes", "StopSignal")
_ABOUT_ITSELF: Final = "org.opencontainers.image."


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """A gzip-compressed layer in a file.

    :param diff_id: the digest of its uncompressed content.
    :param title: a description of its content, as shown to users.
    """

    path: Path
    digest: str
    size: int
    diff_id: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """How an image runs: image-spec 1.1, "OCI Image Configuration", `config`.

    :param user: empty for root.
    :param variables: environment variables in addition to the base image's.
    :param more: other keys of `config`, such as `ExposedPorts`.
    :param created: the date of the image, as in RFC 3339.
    """

    user: str
    working_directory: str
    command: Sequence[str]
    variables: Mapping[str, str]
    labels: Mapping[str, str]
    more: Mapping[str, object] = field(default_factory=dict)
    created: str = _CREATED


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """An image for one platform: new layers on a base image."""

    base: BaseImage
    layers: Sequence[ImageLayer]
    running: Running


def write_image(path: Path, title: str, images: Sequence[PlatformImage], tag: str) -> Layout:
    """Write an image as the layout `path`, replacing an older one.

    :param images: one for each platform; for several, an image index is written.

    Raises StorageError.
    """
    with writing(path) as layout:
        _finish(layout, title, [add_image(layout, image) for image in images], [tag])
    return read_layout(path)


def add_image(layout: LayoutWriter, image: PlatformImage, form: Format = OCI) -> Descriptor:
    """Add the image of one platform to a layout that is being written; returns its manifest."""
    base_layers = [
        layout.link(file, Descriptor(media_type=_layer_type(layer, form), digest=layer.digest, size=layer.size))
        for layer, file in image.base.layers
    ]
    layers = [_linked(layout, layer, form) for layer in image.layers]
    document = {
        "schemaVersion": 2,
        "mediaType": form.manifest,
        "config": layout.add(canonical(_config(image)), form.config).document(),
        "layers": [layer.document() for layer in (*base_layers, *layers)],
    }
    return layout.add_document(document, platform=image.base.platform)


def add_layer(layout: Layout, layer: ImageLayer) -> Layout:
    """Put a layer on top of the image of each platform, in place; returns the changed layout.

    The older manifests stay among its blobs: the image may be on its way to a registry.
    """
    writer = LayoutWriter(layout.path)
    blob = _linked(writer, layer, OCI).document()
    manifests: list[Descriptor] = []
    for manifest in layout.manifests():
        document = layout.document(manifest)
        config = layout.document(read_descriptor(document["config"]))
        config["rootfs"]["diff_ids"].append(layer.diff_id)
        config["history"].append(_step(layer))
        document["config"] = writer.add(canonical(config), OCI.config).document()
        document["layers"].append(blob)
        manifests.append(writer.add_document(document, platform=manifest.platform))
    _finish(writer, layout.title, manifests, layout.tags)
    return read_layout(layout.path)


def _linked(layout: LayoutWriter, layer: ImageLayer, form: Format) -> Descriptor:
    return layout.link(layer.path, Descriptor(media_type=form.layer, digest=layer.digest, size=layer.size))


def _finish(layout: LayoutWriter, title: str, manifests: Sequence[Descriptor], tags: Sequence[str]) -> None:
    whole = manifests[0]
    if len(manifests) > 1:
        entries = [manifest.document() for manifest in manifests]
        whole = layout.add_document({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    layout.finish(title, whole, tags, [])


def _layer_type(layer: Descriptor, form: Format) -> str:
    """The media type of a base image's layer in a format; its own format may be the other one."""
    return form.layer if layer.media_type.endswith("gzip") else re.sub(r"[+.]gzip$", "", form.layer)


def _config(image: PlatformImage) -> Document:
    base, running = image.base.config, image.running
    inherited: Mapping[str, object] = base.get("config") or {}
    variables = {**image.base.variables, **running.variables}
    labels = inherited.get("Labels")
    kept = labels.items() if isinstance(labels, dict) else ()
    config = {
        **{key: inherited[key] for key in _INHERITED if inherited.get(key)},
        "Env": [f"{name}={value}" for name, value in variables.items()],
        # Platforms override the command but not the entry point, so an entry point of the base would break it.
        "Cmd": list(running.command),
        "WorkingDir": running.working_directory,
        **({"User": running.user} if running.user else {}),
        "Labels": {
            **{name: value for name, value in kept if not name.startswith(_ABOUT_ITSELF)},
            **dict(sorted(running.labels.items())),
        },
        **running.more,
    }
    return {
        "created": running.created,
        **{key: base[key] for key in ("architecture", "os", "variant") if base.get(key)},
        "config": config,
        "rootfs": {
            "type": "layers",
            "diff_ids": [*base["rootfs"]["diff_ids"], *(layer.diff_id for layer in image.layers)],
        },
        "history": [
            *_history(base),
            *map(_step, image.layers),
        ],
    }


def _step(layer: ImageLayer) -> Document:
    """What the history of an image says of a layer."""
    return {"created": _CREATED, "created_by": f"dagster-builder: {layer.title}"}


def _history(base: Document) -> list[Document]:
    """The history of a base image, with one entry for each layer and perhaps entries without a layer."""
    known = [entry for entry in base.get("history") or () if isinstance(entry, dict)]
    count = len(base["rootfs"]["diff_ids"])
    if len([entry for entry in known if not entry.get("empty_layer")]) == count:
        return known
    return [{"created": _CREATED, "created_by": "base image"}] * count
