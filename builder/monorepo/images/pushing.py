"""Where the image of a package goes, and under which tags."""

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
    """

    name: str
    tags: tuple[str, ...]
    digest: str


def read_namespace(text: str) -> RegistryNamespace:
    """`HOST/OWNER`, whose owner is made lower case, as registries want it; raises UsageError if it is none."""
    host, _, owner = text.rstrip("/").partition("/")
    if not HOST.fullmatch(host) or not REPOSITORY.fullmatch(owner.lower()):
        raise UsageError(
            f"`{text}` is not a namespace of a registry", remedy="Write HOST/OWNER, such as ghcr.io/acme"
        )
    return RegistryNamespace(host.lower(), owner.lower())


def push_image(
    layout: Layout, place: RegistryNamespace, credentials: Credentials | None, *, latest: bool = False
) -> Pushed:
    """Push an image with its SBOMs, tag it, and see that the registry gives back what was pushed.

    :param credentials: None for those that `docker login` or its like has stored.
    :param latest: tag it `latest` too.

    Raises PublishError; the tags have not been touched then.
    """
    repository = place.repository(layout.title)
    known = credentials or stored_credentials(place.host, repository)
    tags = (*layout.tags, *(("latest",) if latest else ()))
    with Registry(place.host, repository, known) as registry:
        pushed = push_layout(registry, layout, tags)
    return Pushed(f"{place.host}/{repository}", tags, pushed.digest)
