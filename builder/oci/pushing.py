"""Pushing an image to a registry: blobs first, tags last, then verifying what the registry serves."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from builder.errors import PublishError
from builder.oci.layout import INDEX, Descriptor, Layout, canonical, digest_of, read_descriptor
from builder.oci.registry import BlobUnknown, Registry

_AT_ONCE: Final = 6
_SMALL: Final = 1 << 20
"""Bytes: a blob of at most this size, as the layer of the code mostly is, is read back."""

Sent = Callable[[str, int], None]
"""Called repeatedly with the digest of a blob and the number of bytes sent."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that was pushed to a repository.

    :param digest: that of the image's index, or of its manifest if it is for one platform.
    :param sent: the sizes of the blobs that were uploaded, by digest.
    :param mounted: the digests of the blobs that the registry mounted from another repository.
    """

    digest: str
    sent: Mapping[str, int]
    mounted: frozenset[str]


def push_layers(
    registry: Registry,
    layout: Layout,
    *,
    without: Collection[str],
    sources: Mapping[str, str],
    progress: Sent,
) -> Mapping[str, int]:
    """Push the layers of an image, which nothing refers to yet, omitting some of them.

    :param without: the digests of the layers to omit.

    The other parameters are those of `push_layout`. Returns the sizes of those that were uploaded, by digest.
    """
    blobs = {
        layer.digest: layer
        for manifest in layout.manifests()
        for layer in map(read_descriptor, layout.document(manifest)["layers"])
        if layer.digest not in without
    }
    outcomes = _Push(registry, layout, sources, progress).blobs(blobs.values())
    return {digest: blobs[digest].size for digest, outcome in outcomes.items() if outcome == "sent"}


def push_layout(
    registry: Registry,
    layout: Layout,
    tags: Sequence[str],
    *,
    sources: Mapping[str, str] | None = None,
    progress: Sent = lambda _digest, _sent: None,
) -> Pushed:
    """Push an image with the artifacts that refer to it, tag it, and verify that the registry serves it.

    :param sources: for blobs that are in another repository of the same registry, that repository, by digest.

    Raises PublishError; ImageError, before any tag is changed, for a damaged layout.
    """
    push = _Push(registry, layout, sources or {}, progress)
    manifests = (*layout.manifests(), *layout.referrers)
    blobs = {blob.digest: blob for manifest in manifests for blob in _blobs(layout, manifest)}
    outcomes = push.blobs(blobs.values())
    for manifest in manifests:
        try:
            _push_manifest(registry, layout, manifest)
        except BlobUnknown:
            # The registry lacks a blob that it mounted or claimed to have: upload all of this manifest's.
            for blob in _blobs(layout, manifest):
                push.again(blob)
                outcomes[blob.digest] = "sent"
            _push_manifest(registry, layout, manifest)
    image = layout.image
    if image.media_type == INDEX:
        registry.push_manifest(image.digest, layout.read(image.digest), image.media_type)
    mended = push.read_back(blob for blob in blobs.values() if blob.size <= _SMALL)
    outcomes |= dict.fromkeys(mended, "sent")
    for pushed in {descriptor.digest for descriptor in (*manifests, image)}:
        registry.verify(pushed, pushed)
    for tag in tags:
        registry.push_manifest(tag, layout.read(image.digest), image.media_type)
        registry.verify(tag, image.digest)
    return Pushed(
        image.digest,
        {digest: blobs[digest].size for digest, outcome in outcomes.items() if outcome == "sent"},
        frozenset(digest for digest, outcome in outcomes.items() if outcome == "mounted"),
    )


def send_damaged_again(registry: Registry, layout: Layout) -> list[str]:
    """Read all blobs of an image back, and upload those again that differ; returns their digests.

    Raises PublishError, also if one differs after that.
    """
    blobs = {blob.digest: blob for manifest in layout.manifests() for blob in _blobs(layout, manifest)}
    return _Push(registry, layout, {}, lambda _digest, _sent: None).read_back(blobs.values())


@dataclass(frozen=True, slots=True)
class _Push:
    registry: Registry
    layout: Layout
    sources: Mapping[str, str]
    progress: Sent

    def blobs(self, blobs: Iterable[Descriptor]) -> dict[str, str]:
        """Ensure that the repository has some blobs; what `blob` says of each, by digest."""
        # Largest first, so that no large upload starts last and finishes alone.
        ordered = sorted(blobs, key=lambda blob: -blob.size)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip([blob.digest for blob in ordered], pool.map(self.blob, ordered), strict=True))

    def blob(self, blob: Descriptor) -> str:
        """Ensure that the repository has a blob; returns `there`, `mounted` or `sent`."""
        if self.registry.has_blob(blob.digest):
            return "there"
        source = self.sources.get(blob.digest)
        if source and self.registry.mount_blob(blob.digest, source):
            return "mounted"
        self.again(blob)
        return "sent"

    def again(self, blob: Descriptor) -> None:
        """Upload a blob even if the registry claims to have it."""
        path = self.layout.whole_blob(blob.digest)
        self.registry.upload_blob(blob.digest, path, lambda sent: self.progress(blob.digest, sent))

    def read_back(self, blobs: Iterable[Descriptor]) -> list[str]:
        """Read blobs back, and upload those again that differ; returns their digests.

        Raises PublishError if one differs after that.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [digest for digest in pool.map(self._mend, blobs) if digest]

    def _mend(self, blob: Descriptor) -> str | None:
        if self.registry.has_whole_blob(blob):
            return None
        self.again(blob)
        if not self.registry.has_whole_blob(blob):
            raise PublishError(
                f"`{self.registry.name}` gives other bytes for the blob `{blob.digest}` than it was sent, twice",
                remedy="Run it again; if it stays so, ask those who run the registry",
            )
        return blob.digest


def _blobs(layout: Layout, manifest: Descriptor) -> list[Descriptor]:
    document = layout.document(manifest)
    return [read_descriptor(entry) for entry in (*document["layers"], document["config"])]


def _push_manifest(registry: Registry, layout: Layout, manifest: Descriptor) -> None:
    """Push a manifest by its digest."""
    headers = registry.push_manifest(manifest.digest, layout.read(manifest.digest), manifest.media_type)
    document = layout.document(manifest)
    subject = document.get("subject")
    if subject and headers.get("OCI-Subject") != subject["digest"]:
        _refer(registry, subject["digest"], manifest, document)


def _refer(registry: Registry, subject: str, artifact: Descriptor, document: Mapping[str, Any]) -> None:
    """List an artifact under its subject's referrers tag, for registries without the referrers API.

    distribution-spec 1.1, "Unavailable Referrers API".
    """
    tag = subject.replace(":", "-")
    present = registry.manifest(tag)
    entries = json.loads(present)["manifests"] if present else []
    entry = Descriptor(
        media_type=artifact.media_type,
        digest=artifact.digest,
        size=artifact.size,
        artifact_type=document["artifactType"],
    ).document()
    others = [other for other in entries if other["digest"] != artifact.digest]
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]})
    registry.push_manifest(tag, index, INDEX)
    registry.verify(tag, digest_of(index))
