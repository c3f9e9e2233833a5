"""Reading and writing OCI image layouts: directories of blobs by digest, with an index (image-spec 1.1)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from builder.errors import ImageError, Origin
from builder.system import storage

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

TITLE: Final = "org.opencontainers.image.title"
_TAG: Final = "org.opencontainers.image.ref.name"

INVALID: Final = (ValueError, KeyError, TypeError, AttributeError)
"""The exceptions that reading an invalid manifest or index raises."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """The media types of an image's manifest and its parts."""

    manifest: str
    config: str
    layer: str


OCI: Final = Format(
    MANIFEST,
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER: Final = Format(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
"""Docker's older format. Config and layers have the same bytes, but only this format supports a health check:
podman, following image-spec, ignores it in an OCI image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A blob's digest, size and type (image-spec, "Content Descriptors").

    :param digest: `sha256:` and 64 hexadecimal digits.
    :param size: in bytes.
    :param platform: such as `linux/amd64`, or empty.
    :param artifact_type: of an artifact that is not an image, or empty.
    """

    media_type: str
    digest: str
    size: int
    platform: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> Document:
        """The descriptor as in a manifest or an index."""
        document: Document = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        if self.platform:
            system, _, architecture = self.platform.partition("/")
            document["platform"] = {"architecture": architecture, "os": system}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


def digest_of(content: bytes) -> str:
    """The digest of a blob's bytes: `sha256:` and the hash."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def canonical(document: object) -> bytes:
    """Serialise a JSON document in the canonical form that its digest is computed from."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class LayoutWriter:
    """Writes a layout into a temporary directory; see `writing`."""

    directory: Path

    def add(self, content: bytes, media_type: str, **properties: str) -> Descriptor:
        """Add a blob; properties are those of `Descriptor`."""
        digest = digest_of(content)
        blob_path(self.directory, digest).write_bytes(content)
        return Descriptor(media_type=media_type, digest=digest, size=len(content), **properties)  # type: ignore[arg-type]

    def add_document(self, document: Mapping[str, object], **properties: str) -> Descriptor:
        """Add a manifest or an index; its media type is in the document."""
        return self.add(canonical(document), str(document["mediaType"]), **properties)

    def link(self, path: Path, blob: Descriptor) -> Descriptor:
        """Add a blob from a file whose digest was verified, as a hard link or a copy."""
        target = blob_path(self.directory, blob.digest)
        if not target.exists():
            try:
                os.link(path, target)
            except OSError:
                # The file is on another file system, or the file system has no hard links.
                shutil.copyfile(path, target)
        return blob

    def add_layer(self, path: Path, media_type: str) -> Descriptor:
        """Add a gzip-compressed layer."""
        digest = f"sha256:{storage.sha256_of(path)}"
        return self.link(path, Descriptor(media_type=media_type, digest=digest, size=path.stat().st_size))

    def finish(self, title: str, image: Descriptor, tags: Sequence[str], referrers: Sequence[Descriptor]) -> None:
        """Write the layout's index: the image once for each tag, then the artifacts that refer to it."""
        entries = [{**image.document(), "annotations": {_TAG: tag}} for tag in tags]
        entries += [referrer.document() for referrer in referrers]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": {TITLE: title}}
        (self.directory / "oci-layout").write_bytes(canonical({"imageLayoutVersion": "1.0.0"}))
        with storage.atomic_write(self.directory / "index.json") as stream:
            stream.write(canonical(index))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[LayoutWriter]:
    """Write the layout `path`, which appears, replacing an older one, only when it is complete.

    Raises StorageError if it cannot be written.
    """
    with storage.scratch_directory(path.parent) as scratch:
        made = scratch / "made"
        (made / "blobs" / "sha256").mkdir(parents=True)
        yield LayoutWriter(made)
        try:
            if path.exists():
                path.rename(scratch / "older")
            made.rename(path)
        except OSError as error:
            raise storage.storage_error(error, path) from error


def blob_path(layout: Path, digest: str) -> Path:
    """The path of a blob in a layout."""
    algorithm, _, encoded = digest.partition(":")
    return layout / "blobs" / algorithm / encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A finished layout of one image.

    :param title: the image's name, without registry and owner.
    :param image: the image's index, or its manifest if it is for one platform.
    :param referrers: artifacts about the image, such as SBOMs.
    """

    path: Path
    title: str
    image: Descriptor
    tags: tuple[str, ...]
    referrers: tuple[Descriptor, ...]

    def read(self, digest: str) -> bytes:
        """Read a blob; raises ImageError if its bytes do not match the digest."""
        return self.whole_blob(digest).read_bytes()

    def whole_blob(self, digest: str) -> Path:
        """Verify a blob and return its path; raises ImageError if its bytes do not match the digest."""
        path = blob_path(self.path, digest)
        try:
            whole = f"sha256:{storage.sha256_of(path)}" == digest
        except OSError as error:
            raise _damaged(self.path, f"`{digest}` is missing") from error
        if not whole:
            raise _damaged(self.path, f"`{digest}` has other bytes than its name says")
        return path

    def document(self, descriptor: Descriptor) -> Document:
        """Read a manifest or an index."""
        document: Document = json.loads(self.read(descriptor.digest))
        return document

    def manifests(self) -> tuple[Descriptor, ...]:
        """The image's manifests, one for each platform."""
        if self.image.media_type != INDEX:
            return (self.image,)
        return tuple(read_descriptor(entry) for entry in self.document(self.image)["manifests"])


def read_layout(path: Path) -> Layout:
    """Read a layout that `writing` made; raises ImageError if it is invalid or has more than one image."""
    try:
        index = json.loads((path / "index.json").read_text(encoding="utf-8"))
        entries = [read_descriptor(entry) for entry in index["manifests"]]
        title = index["annotations"][TITLE]
    except (OSError, *INVALID) as error:
        raise ImageError(
            f"`{path}` is not an OCI image layout of one package's image",
            where=Origin(path / "index.json"),
            remedy="Give a directory that `builder.image` or `builder.packages image` made",
        ) from error
    images = [entry for entry in entries if _TAG in entry.annotations]
    if not images or len({image.digest for image in images}) > 1:
        raise _damaged(path, "it does not hold one image")
    referrers = tuple(entry for entry in entries if entry.artifact_type)
    return Layout(
        path=path,
        title=title,
        image=images[0],
        tags=tuple(image.annotations[_TAG] for image in images),
        referrers=referrers,
    )


def read_descriptor(entry: Mapping[str, Any]) -> Descriptor:
    """Parse a descriptor from a manifest or an index; raises one of `INVALID` if it is invalid."""
    platform = entry.get("platform")
    # It becomes part of a path.
    if not _DIGEST.fullmatch(entry["digest"]):
        raise ValueError(f"`{entry['digest']}` is no sha256 digest")
    return Descriptor(
        media_type=entry["mediaType"],
        digest=entry["digest"],
        size=entry["size"],
        platform=f"{platform['os']}/{platform['architecture']}" if platform else "",
        artifact_type=entry.get("artifactType", ""),
        annotations=entry.get("annotations", {}),
    )


def _damaged(path: Path, why: str) -> ImageError:
    return ImageError(f"the image layout `{path}` is damaged: {why}", remedy="Build the image again")
