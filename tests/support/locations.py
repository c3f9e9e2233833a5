"""What a location can be updated to."""

from __future__ import annotations

from typing import Any


def document(name: str = "sales", tag: str = "1", **more: object) -> dict[str, Any]:
    return {
        "location_name": name,
        "code_source": {"package_name": "sales"},
        "git": {"commit_hash": "1a2b3c"},
        "pex_metadata": {"pex_tag": f"files=deps-{tag}.pex:source-{tag}.pex", "python_version": "3.11"},
        **more,
    }
