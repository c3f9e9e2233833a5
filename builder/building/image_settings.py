"""The settings that control how images are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builder.project.location import Location
from builder.resolution.transport import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How images are built.

    :param base: the name of the base image; empty for the default one.
    :param logins: to registries that base images may lie in, by host; others are those that `docker login` stored.
    """

    base: str = ""
    logins: Mapping[str, Credentials] = field(default_factory=dict, repr=False)

    def base_of(self, location: Location) -> str:
        """The base image of a location: the given one, or `image` of its settings.

        Where it has a registry, `image` is not what to build upon, but what was built.
        """
        declared = location.settings.get("image")
        return self.base or (declared if isinstance(declared, str) and location.registry is None else "")
