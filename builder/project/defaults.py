"""Merging `defaults` into a location's entry, as Dagster Cloud's own tools do.

They merge mappings key by key, and join lists without duplicates; in lists of named items, the entry's items
replace the default's (`dagster_cloud_cli.config.merger`). Tests compare both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_REPLACED: Final = frozenset(
    f"container_context.k8s.{what}_k8s_config.container_config.{key}"
    for what in ("run", "server")
    for key in ("args", "command")
)
_ENVIRONMENTS: Final = frozenset(f"container_context.{what}.env_vars" for what in ("docker", "ecs", "k8s"))
_NAMED: Final = {
    **{
        f"container_context.ecs.{key}": "name"
        for key in ("run_sidecar_containers", "secrets", "server_sidecar_containers", "volumes")
    },
    **{f"container_context.ecs.{key}": "key" for key in ("run_ecs_tags", "server_ecs_tags")},
    **{f"container_context.k8s.{key}": "name" for key in ("image_pull_secrets", "volumes", "volume_mounts")},
}


def merge(defaults: Mapping[str, object], entry: Mapping[str, object], at: str = "") -> dict[str, object]:
    """Merge `entry` over `defaults`; a null in the entry does not hide a default.

    :param at: the dotted key of both in an entry of the workspace file.
    """
    merged = dict(defaults)
    for key, value in entry.items():
        below = merged.get(key)
        path = f"{at}.{key}" if at else key
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = merge(below, value, path)
        elif isinstance(value, list) and isinstance(below, list):
            merged[key] = _joined(below, value, path)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def _joined(defaults: list[object], entry: list[object], path: str) -> list[object]:
    if path in _REPLACED:
        return entry
    if path in _ENVIRONMENTS:
        names = {_variable(value) for value in entry}
        return [*(value for value in defaults if _variable(value) not in names), *entry]
    if path in _NAMED:
        key = _NAMED[path]
        named = {_value_of(value, key): value for value in entry}
        kept = {_value_of(value, key): value for value in defaults if _value_of(value, key) not in named}
        return [*kept.values(), *named.values()]
    return list({_frozen(value): value for value in (*defaults, *entry)}.values())


def _variable(value: object) -> object:
    """The name in `NAME=value` or `NAME`."""
    return value.partition("=")[0] if isinstance(value, str) else _frozen(value)


def _value_of(value: object, key: str) -> object:
    """The value that identifies a mapping: that of `key`; other values identify themselves."""
    return _frozen(value.get(key, value) if isinstance(value, dict) else value)


def _frozen(value: object) -> object:
    """A hashable stand-in that is equal for equal values."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(below)) for key, below in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
