"""Settings with which the runs of uv in one command share what they read from the indexes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from pip._internal.models.index import PyPI

from builder.resolution.uv_configuration import ENVIRONMENT

_PUBLIC: Final = {"api": "max-age=600", "files": "max-age=365000000, immutable"}
"""What the public index says itself, also behind a proxy that takes it away."""

_OTHERS: Final = {"api": "max-age=60", "files": "max-age=60"}
"""Many private indexes say nothing of that, so that each run of uv would fetch every page again."""


def sharing_pages(settings: Mapping[str, object]) -> Mapping[str, object]:
    """Settings of uv in which each index says for how long its pages are good, unless it says so already.

    Where variables name indexes, which come before those of settings, nothing changes.
    """
    if settings.get("no-index") or any(os.environ.get(name) for name in ENVIRONMENT):
        return settings
    # In uv's order: the default comes last, and the first default is the one.
    indexes = [
        *(entry for entry in _list(settings, "index") if isinstance(entry, dict)),
        *({"url": url} for url in _list(settings, "extra-index-url")),
    ]
    if not any(entry.get("default") for entry in indexes):
        indexes.append({"url": settings.get("index-url", PyPI.simple_url), "default": True})
    others = {key: value for key, value in settings.items() if key not in {"extra-index-url", "index-url"}}
    return {**others, "index": [{"cache-control": _good_for(entry), **entry} for entry in indexes]}


def _list(settings: Mapping[str, object], key: str) -> list[object]:
    value = settings.get(key)
    return value if isinstance(value, list) else []


def _good_for(entry: Mapping[str, object]) -> Mapping[str, str]:
    return _PUBLIC if str(entry.get("url")).rstrip("/") == PyPI.simple_url else _OTHERS
