"""A finished image goes to a registry: what it refers to first, its tags last, and all of it is read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from builder.errors import UsageError
from builder.oci.credentials import stored_credentials
from builder.oci.layout import (
    INDEX,
    Descriptor,
    Layout,
    blob_path,
    canonical,
    digest_of,
    read_descriptor,
)
from builder.oci.registry import Registry
from builder.resolution.transport import Credentials

_REPOSITORY: Final = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_HOST: Final = re.compile(
    r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?|[a-z0-9-]+:[0-9]+"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where images go: a registry and an owner there.

    :param host: with its port, if it has one.
    :param owner: lower case; may have several parts.
    """

    host: str
    owner: str

    def repository(self, title: str) -> str:
        """The repository of an image: its package's own name, nothing before it."""
        return f"{self.owner}/{title}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that is in a registry.

    :param name: with registry and owner, without tag.
    :param digest: of the image index.
    :param sent: how many blobs the registry did not have yet.
    """

    name: str
    tags: tuple[str, ...]
    digest: str
    sent: int


def read_place(text: str) -> Place:
    """`HOST/OWNER`, whose owner is made lower case, as registries want it; raises UsageError if it is none."""
    host, _, owner = text.rstrip("/").partition("/")
    if not _HOST.fullmatch(host) or not _REPOSITORY.fullmatch(owner.lower()):
        raise UsageError(f"`{text}` is not a place in a registry", remedy="Write HOST/OWNER, such as ghcr.io/acme")
    return Place(host.lower(), owner.lower())


def push_image(layout: Layout, place: Place, credentials: Credentials | None, *, latest: bool = False) -> Pushed:
    """Push an image with its SBOMs, tag it, and see that the registry gives back what was pushed.

    :param credentials: None for those that `docker login` or its like has stored.
    :param latest: tag it `latest` too.

    Raises PublishError; the tags have not been touched then.
    """
    repository = place.repository(layout.title)
    known = credentials or stored_credentials(place.host, repository)
    with Registry(place.host, repository, known) as registry:
        sent = 0
        for manifest in (*layout.manifests(), *layout.referrers):
            sent += _push_manifest(registry, layout, manifest)
        index = layout.image
        registry.push_manifest(index.digest, layout.read(index.digest), index.media_type)
        for pushed in (*layout.manifests(), *layout.referrers, index):
            registry.verify(pushed.digest, pushed.digest)
        tags = (*layout.tags, *(("latest",) if latest else ()))
        for tag in tags:
            registry.push_manifest(tag, layout.read(index.digest), index.media_type)
            registry.verify(tag, index.digest)
    return Pushed(f"{place.host}/{repository}", tags, index.digest, sent)


def _push_manifest(registry: Registry, layout: Layout, manifest: Descriptor) -> int:
    """Push a manifest by its digest, its blobs before it; returns how many of them had to be sent."""
    document = layout.document(manifest)
    blobs = [read_descriptor(entry) for entry in (*document["layers"], document["config"])]
    sent = sum(registry.push_blob(blob.digest, blob_path(layout.path, blob.digest)) for blob in blobs)
    headers = registry.push_manifest(manifest.digest, layout.read(manifest.digest), manifest.media_type)
    subject = document.get("subject")
    if subject and headers.get("OCI-Subject") != subject["digest"]:
        _refer(registry, subject["digest"], manifest, document)
    return sent


def _refer(registry: Registry, subject: str, artifact: Descriptor, document: Mapping[str, Any]) -> None:
    """Note an artifact under its subject's tag, in a registry that keeps no list of referrers itself.

    distribution-spec 1.1, "Unavailable Referrers API".
    """
    tag = subject.replace(":", "-")
    present = registry.manifest(tag)
    entries = json.loads(present)["manifests"] if present else []
    entry = Descriptor(
        artifact.media_type, artifact.digest, artifact.size, artifact_type=document["artifactType"]
    ).document()
    others = [other for other in entries if other["digest"] != artifact.digest]
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]})
    registry.push_manifest(tag, index, INDEX)
    registry.verify(tag, digest_of(index))
