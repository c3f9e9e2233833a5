"""Parsing image names: `python:3.11-slim`, `ghcr.io/acme/etl@sha256:…`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from builder.errors import UsageError

DOCKER_HUB: Final = "docker.io"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
HOST: Final = re.compile(
    r"(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?|[A-Za-z0-9-]+:[0-9]+"
)
TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image.

    :param host: of the registry, with its port if it has one.
    :param repository: such as `library/python`.
    :param version: a tag, or a digest.
    """

    host: str
    repository: str
    version: str

    @property
    def name(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}{'@' if DIGEST.fullmatch(self.version) else ':'}{self.version}"


def read_reference(text: str) -> Reference:
    """Parse an image's name as Docker does: the default host is Docker Hub, the default tag is `latest`.

    If there are both a tag and a digest, the tag is ignored. Raises UsageError for an invalid name.
    """
    name, _, digest = text.strip().partition("@")
    first, slash, rest = name.partition("/")
    host, path = (first, rest) if slash and HOST.fullmatch(first) else (DOCKER_HUB, name)
    repository, colon, tag = path.partition(":")
    if host == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    version = digest or (tag if colon else "latest")
    valid = DIGEST.fullmatch(version) if digest else TAG.fullmatch(version)
    if not REPOSITORY.fullmatch(repository) or not valid:
        raise UsageError(
            f"`{text}` is not the name of an image",
            remedy="Write HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…, such as ghcr.io/acme/base:1.0",
        )
    return Reference(host.lower(), repository, version)


def read_repository(text: str) -> tuple[str, str]:
    """Parse a repository into host and path, both of which are required; raises UsageError if invalid."""
    host, slash, path = text.strip().removeprefix("https://").rstrip("/").partition("/")
    if not slash or not HOST.fullmatch(host) or not REPOSITORY.fullmatch(path):
        raise UsageError(
            f"`{text}` is not the name of a repository in a registry",
            remedy="Write HOST/REPOSITORY in lower case and without a tag, such as ghcr.io/acme/etl",
        )
    return host.lower(), path
