"""Pushing a package's image: its repository and tags."""

from __future__ import annotations

from dataclasses import dataclass

from builder.errors import UsageError
from builder.oci.credentials import stored_credentials
from builder.oci.layout import Layout
from builder.oci.pushing import push_layout
from builder.oci.reference import HOST, REPOSITORY
from builder.oci.registry import Registry
from builder.resolution.transport import Credentials


@dataclass(frozen=True, slots=True)
class RegistryNamespace:
    """The destination of images: a registry, and an owner in it.

    :param host: with its port, if it has one.
    :param owner: lower case; may have several parts.
    """

    host: str
    owner: str

    def repository(self, title: str) -> str:
        """The repository of an image, which has the package's name."""
        return f"{self.owner}/{title}"


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that was pushed to a registry.

    :param name: with registry and owner, without tag.
    :param digest: of the image index.
    :param sent: the bytes of the blobs that were uploaded.
    """

    name: str
    tags: tuple[str, ...]
    digest: str
    sent: int


def read_namespace(text: str) -> RegistryNamespace:
    """Parse `HOST/OWNER`, with the owner in lower case, as registries require; raises UsageError if invalid."""
    host, _, owner = text.rstrip("/").partition("/")
    if not HOST.fullmatch(host) or not REPOSITORY.fullmatch(owner.lower()):
        raise UsageError(
            f"`{text}` is not a namespace of a registry", remedy="Write HOST/OWNER, such as ghcr.io/acme"
        )
    return RegistryNamespace(host.lower(), owner.lower())


def push_image(
    layout: Layout,
    place: RegistryNamespace,
    credentials: Credentials | None,
    *,
    latest: bool = False,
    holders: dict[str, str] | None = None,
) -> Pushed:
    """Push an image with its SBOMs, tag it, and verify that the registry serves it.

    :param credentials: None for those stored by `docker login` or `podman login`.
    :param latest: whether to add the tag `latest`.
    :param holders: the repository that has each blob of the images pushed before, by digest, from which this one
        takes them over; its own layers are added.

    Raises PublishError. Tags are pushed last.
    """
    repository = place.repository(layout.title)
    known = credentials or stored_credentials(place.host, repository)
    tags = (*layout.tags, *(("latest",) if latest else ()))
    holders = {} if holders is None else holders
    layers = [layer["digest"] for manifest in layout.manifests() for layer in layout.document(manifest)["layers"]]
    sources = {digest: holders[digest] for digest in layers if digest in holders}
    with Registry(place.host, repository, known, sources=sorted({*sources.values()})) as registry:
        pushed = push_layout(registry, layout, tags, sources=sources)
    holders.update({digest: repository for digest in layers if digest not in holders})
    return Pushed(f"{place.host}/{repository}", tags, pushed.digest, sum(pushed.sent.values()))
