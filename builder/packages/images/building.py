"""Building a package's OCI image layout: an image for each platform, an image index, and SBOMs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from builder.errors import PackagesError, UsageError
from builder.oci.base_image import pinned
from builder.oci.layout import (
    DOCKER,
    EMPTY,
    INDEX,
    MANIFEST,
    OCI,
    TITLE,
    Descriptor,
    Layout,
    LayoutWriter,
    canonical,
    read_layout,
    writing,
)
from builder.oci.reference import Reference, read_reference
from builder.packages.images import sbom
from builder.packages.images.direct import add_package_image, variables_of, verify_package_image
from builder.packages.images.engines import Engine, ExportedImage, ImageBuild, write_context
from builder.packages.images.staging import Staged, stage
from builder.packages.versions import container_tag
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse
from builder.system import storage

DEFAULT_BASE: Final = "python:3.11-slim"

_LABEL: Final = "org.opencontainers.image."
_WEBSERVER: Final = "dagster-webserver"
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_SHORT: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """The settings of an image to build.

    :param source: URL of the package's repository.
    :param base: the base image, by tag or by digest.
    :param platforms: such as `linux/amd64`.
    :param python_version: of the base, such as "3.11".
    :param tags: the image's tags; empty for the version and the commit.
    """

    wheelhouse: Wheelhouse
    package: BuiltPackage
    source: str
    base: str = DEFAULT_BASE
    platforms: tuple[str, ...] = ("linux/amd64",)
    python_version: str = "3.11"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """The base image of a request.

    :param name: as it was asked for, with its registry.
    :param pinned: the same by the digest that the registry gave for it, which all platforms are built upon.
    """

    name: Reference
    pinned: Reference


def build_image(request: ImageRequest, engine: Engine | None, path: Path) -> Layout:
    """Build a package's image as the layout `path`, replacing an older one.

    :param engine: None to put it together here.

    Raises ImageError with what the engine or the package said, PublishError for a base image that cannot be had,
    and the errors of `stage`.
    """
    tags = request.tags or default_tags(request.wheelhouse, request.package)
    for tag in tags:
        check_tag(tag)
    if not request.package.import_names:
        raise PackagesError(f"package `{request.package.name}` installs nothing that could be imported")
    staged = stage(request.wheelhouse, request.package, request.platforms, request.python_version)
    reference = read_reference(request.base)
    base = Base(reference, pinned(reference))
    with writing(path) as layout:
        if engine is None:
            manifests = [_put_together(request, base, staged_image, layout) for staged_image in staged]
        else:
            manifests = _built_by(engine, request, base, staged, layout)
        artifacts = [
            _add_sbom(layout, request, base, staged_image, manifest)
            for staged_image, manifest in zip(staged, manifests, strict=True)
        ]
        index = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [manifest.document() for manifest in manifests],
            # For an image of several platforms, registries show the annotations of the index.
            "annotations": labels(request, base),
        }
        layout.finish(request.package.name, layout.add_document(index), tags, artifacts)
        if engine is None:
            verify_package_image(layout.directory, request.package, request.python_version)
    return read_layout(path)


def default_tags(wheelhouse: Wheelhouse, package: BuiltPackage) -> tuple[str, ...]:
    """The default tags of a package's image: the version, and the commit that it was built from."""
    commit = (f"sha-{wheelhouse.commit[:_SHORT]}",) if wheelhouse.commit else ()
    return (container_tag(package.version), *commit)


def check_tag(tag: str) -> None:
    """Raise UsageError for an invalid tag (distribution-spec, "Pulling manifests")."""
    if not _TAG.fullmatch(tag):
        raise UsageError(
            f"`{tag}` is not a container tag",
            remedy="Use letters, digits, `_`, `.` and `-` only, 128 at most, neither `.` nor `-` first",
        )


def labels(request: ImageRequest, base: Base) -> dict[str, str]:
    """The image's labels and annotations (image-spec, "Annotations")."""
    package, wheelhouse = request.package, request.wheelhouse
    labels: Mapping[str, str | None] = {
        TITLE: package.name,
        f"{_LABEL}description": package.summary,
        f"{_LABEL}version": package.version,
        f"{_LABEL}source": request.source,
        f"{_LABEL}revision": wheelhouse.commit,
        f"{_LABEL}created": _created(wheelhouse),
        f"{_LABEL}base.name": str(base.name),
        f"{_LABEL}base.digest": base.pinned.version,
    }
    return {name: value for name, value in labels.items() if value}


def _created(wheelhouse: Wheelhouse) -> str:
    return datetime.fromtimestamp(wheelhouse.source_date_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _put_together(request: ImageRequest, base: Base, staged: Staged, layout: LayoutWriter) -> Descriptor:
    """Add the image of one platform; returns its manifest."""
    return add_package_image(
        layout,
        staged,
        request.package,
        base=base.pinned,
        python_version=request.python_version,
        labels=labels(request, base),
        created=_created(request.wheelhouse),
        webserver=request.package.name == _WEBSERVER,
    )


def _built_by(
    engine: Engine, request: ImageRequest, base: Base, staged: Sequence[Staged], layout: LayoutWriter
) -> list[Descriptor]:
    """Have a program build the image of each platform, and add them; returns their manifests."""
    package = request.package
    with storage.scratch_directory() as scratch:
        context = storage.make_directory(scratch / "context")
        write_context(context, staged)
        return [
            _add_image(
                layout,
                engine.build(
                    ImageBuild(
                        context=context,
                        stage="webserver" if package.name == _WEBSERVER else "package",
                        platform=staged_image.platform,
                        epoch=request.wheelhouse.source_date_epoch,
                        arguments={"BASE": str(base.pinned), **variables_of(package)},
                        labels=labels(request, base),
                    ),
                    scratch / staged_image.platform.replace("/", "-"),
                ),
                staged_image.platform,
            )
            for staged_image in staged
        ]


def _add_image(layout: LayoutWriter, exported: ExportedImage, platform: str) -> Descriptor:
    form = DOCKER if "Healthcheck" in exported.config["config"] else OCI
    config = layout.add(canonical(exported.config), form.config)
    layers = [layout.add_layer(layer, form.layer) for layer in exported.layers]
    document = {
        "schemaVersion": 2,
        "mediaType": form.manifest,
        "config": config.document(),
        "layers": [layer.document() for layer in layers],
    }
    return layout.add_document(document, platform=platform)


def _add_sbom(
    layout: LayoutWriter, request: ImageRequest, base: Base, staged: Staged, manifest: Descriptor
) -> Descriptor:
    """Add the SBOM as an artifact that refers to the image (image-spec 1.1, "Guidelines for Artifact Usage")."""
    content = sbom.write_sbom(
        name=request.package.name,
        version=request.package.version,
        image_digest=manifest.digest,
        platform=staged.platform,
        base=str(base.name),
        base_digest=base.pinned.version,
        wheels=staged.wheels,
        epoch=request.wheelhouse.source_date_epoch,
    )
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": sbom.MEDIA_TYPE,
        "config": layout.add(b"{}", EMPTY).document(),
        "layers": [layout.add(content, sbom.MEDIA_TYPE).document()],
        "subject": Descriptor(
            media_type=manifest.media_type, digest=manifest.digest, size=manifest.size
        ).document(),
    }
    return layout.add_document(document, artifact_type=sbom.MEDIA_TYPE)
