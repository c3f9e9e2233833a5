"""A loader of YAML files that produces only JSON types, which are sent to Dagster Cloud."""

from __future__ import annotations

from typing import Final

import yaml

__all__ = ["Loader", "yaml"]

_NOT_OF_JSON: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("timestamp", "binary", "set", "omap", "pairs")
)


class Loader(yaml.SafeLoader):
    """A loader without types that cannot be sent to Dagster Cloud; dates are texts, as in its own client."""


Loader.yaml_implicit_resolvers = {
    first: [known for known in resolvers if known[0] not in _NOT_OF_JSON]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.yaml_constructors = {
    tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag not in _NOT_OF_JSON
}
