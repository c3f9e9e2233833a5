"""The settings that control how images are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.deployment.git import read_checkout
from builder.errors import ToolError
from builder.project.location import Location
from builder.resolution.transport import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How images are built.

    :param base: the name of the base image; empty for the default one.
    :param labels: what is known of all of them, such as the commit.
    :param logins: to registries that base images may lie in, by host; others are those that `docker login` stored.
    """

    base: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    logins: Mapping[str, Credentials] = field(default_factory=dict, repr=False)

    def base_of(self, location: Location) -> str:
        """The base image of a location: the given one, or `image` of its settings.

        Where it has a registry, `image` is not what to build upon, but what was built.
        """
        declared = location.settings.get("image")
        return self.base or (declared if isinstance(declared, str) and location.registry is None else "")


def checkout_labels(directory: Path) -> dict[str, str]:
    """The labels of images that are built from a checkout: where it comes from, and its commit.

    :param directory: of the workspace; what git cannot tell of it is left out.
    """
    try:
        checkout = read_checkout(directory)
    except ToolError:
        return {}
    labels = {
        "org.opencontainers.image.source": checkout.origin.url if checkout.origin else None,
        "org.opencontainers.image.revision": checkout.commit.hash if checkout.commit else None,
    }
    return {name: value for name, value in labels.items() if value}
