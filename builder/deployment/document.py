"""The location document: what a deployment is sent to update a code location, and what it tells of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from builder.deployment.destination import GitMetadata
from builder.project.location import CODE_SOURCES, Location


def location_document(
    location: Location,
    *,
    pex_tag: str | None,
    python_version: str,
    image: str | None,
    git: GitMetadata,
    states: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """What adds or updates a location, as `dagster_cloud_cli.config_utils.get_location_document` makes it.

    :param pex_tag: `files=deps-….pex:source-….pex`; None for a location that runs from an image alone.
    :param python_version: such as `3.11`; chooses the base image, so it is left out if there is an `image`.
    :param image: to run on instead of a standard base image, and instead of one that the settings name.
    :param git: where the code comes from; what is None is left out.
    :param states: the versions of the states of its components, if they were refreshed.

    What the settings have as null is left out too: they mean "not given", the server takes them for wrong values.
    """
    document = {
        key: _given(value) if key in {"code_source", "git"} and isinstance(value, dict) else value
        for key, value in location.settings.items()
        if value is not None
    }
    document["location_name"] = location.name
    if states is not None:
        document["defs_state_info"] = dict(states)
    if image:
        document["image"] = image
    below = document.get("git")
    document["git"] = {**(below if isinstance(below, dict) else {}), **_git(git)}
    if pex_tag is None:
        document.pop("pex_metadata", None)
        return document
    pex = {"pex_tag": pex_tag} if "image" in document else {"pex_tag": pex_tag, "python_version": python_version}
    below = document.get("pex_metadata")
    document["pex_metadata"] = {**(below if isinstance(below, dict) else {}), **pex}
    return document


def deployed_document(name: str, serialized: object) -> dict[str, Any] | None:
    """The document of what a location was updated with last; None if it cannot be read.

    :param serialized: a serialized `dagster_cloud_cli.core.workspace.CodeLocationDeployData`.
    """
    try:
        data = json.loads(str(serialized))
        source = {name: data.pop(name) for name in CODE_SOURCES if data.get(name)}
        renamed = {"git": data.pop("git_metadata", None), "pex_metadata": data.pop("pex_metadata", None)}
        document = {"location_name": name, "code_source": source, **data, **renamed}
    except (ValueError, AttributeError, TypeError):
        # A newer server may write what this version cannot read.
        return None
    for key in ("__class__", "cloud_context_env"):
        # The server fills in the environment itself.
        document.pop(key, None)
    return {key: value for key, part in document.items() if (value := _plain(part)) not in (None, {})}


def same_but_commit(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Whether two documents have the same code run in the same way, whatever commit it is from."""
    return one is not None and all(
        one.get(key) == other.get(key) for key in one.keys() | other.keys() if key != "git"
    )


def text_at(document: object, *keys: str) -> str | None:
    """A text in a document; None if there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document if isinstance(document, str) else None


def _plain(value: object) -> object:
    """A part of a document without names of dagster's classes, and without what those have as null."""
    if not isinstance(value, dict):
        return value
    is_class = "__class__" in value
    return {
        key: _plain(part) for key, part in value.items() if key != "__class__" and not (is_class and part is None)
    }


def _git(git: GitMetadata) -> dict[str, object]:
    return _given(
        {
            "commit_hash": git.commit_hash,
            "url": git.url,
            "provider": git.provider,
            "repo_owner": git.repo_owner,
            "repo_name": git.repo_name,
            "base_branch": git.base_branch,
        }
    )


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
