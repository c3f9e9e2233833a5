"""The location document: what a deployment is sent to update a code location."""

from __future__ import annotations

from collections.abc import Mapping

from builder.deployment.destination import GitMetadata
from builder.project.location import Location


def location_document(
    location: Location,
    *,
    pex_tag: str | None,
    python_version: str,
    image: str | None,
    git: GitMetadata,
    states: Mapping[str, object] | None = None,
) -> dict[str, object]:
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
