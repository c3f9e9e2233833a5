"""The location entries of a deployment: versions, load status and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.deployment.cloud_errors import UnknownOutcomeError
from builder.deployment.server_error import ServerError, read_server_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One location of a deployment.

    :param pex_tag: of the version that was deployed last; None if that has none, or it cannot be read.
    :param commit_hash: of the same.
    :param image: of the same.
    :param outdated: whether what follows is still about an earlier version; None if the server does not say.
    :param timestamp: of the last deploy, in seconds since 1970.
    :param load_status: `LOADED` or `LOADING`; None if no agent has heard of the location yet.
    :param error: why it does not load.
    """

    name: str
    pex_tag: str | None
    commit_hash: str | None
    image: str | None
    outdated: bool | None
    timestamp: float
    load_status: str | None
    error: ServerError | None

    @property
    def version(self) -> str | None:
        """What was deployed last: a pex tag, or else an image."""
        return self.pex_tag or self.image


def read_entries(data: Mapping[str, Any]) -> dict[str, Entry]:
    """Read `workspace` and `workspaceOrError`, by location; raises UnknownOutcomeError for an unexpected shape."""
    try:
        shown = data["workspaceOrError"]
        deployed = {entry["locationName"]: entry for entry in data["workspace"]["workspaceEntries"]}
        if shown["__typename"] != "Workspace":
            what = "Dagster Cloud cannot show the locations of the deployment"
            raise UnknownOutcomeError(what, detail=str(shown.get("message") or "").strip() or None)
        loaded = {entry["name"]: entry for entry in shown["locationEntries"]}
        return {
            name: _entry(name, deployed.get(name, {}), loaded.get(name, {})) for name in {**deployed, **loaded}
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UnknownOutcomeError("the answer of Dagster Cloud does not say which locations there are") from error


def _entry(name: str, deployed: Mapping[str, Any], loaded: Mapping[str, Any]) -> Entry:
    pex_tag, commit_hash, image = _deployed_data(deployed.get("serializedDeploymentMetadata"))
    location = loaded.get("locationOrLoadError") or {}
    error = read_server_error(location) if location.get("__typename") == "PythonError" else None
    return Entry(
        name=name,
        pex_tag=pex_tag,
        commit_hash=commit_hash,
        image=image,
        outdated=deployed.get("hasOutdatedData"),
        timestamp=float(deployed.get("metadataTimestamp") or 0),
        load_status=loaded.get("loadStatus"),
        error=error,
    )


def _deployed_data(serialized: object) -> tuple[str | None, str | None, str | None]:
    """Pex tag, commit hash and image of a serialized `dagster_cloud_cli.core.workspace.CodeLocationDeployData`."""
    try:
        data = json.loads(str(serialized))
        pex, git = data.get("pex_metadata") or {}, data.get("git_metadata") or {}
        fields = (pex.get("pex_tag"), git.get("commit_hash"), data.get("image"))
    except (ValueError, AttributeError):
        # A newer server may write what this version cannot read.
        return None, None, None
    tag, commit, image = (field if isinstance(field, str) else None for field in fields)
    return tag, commit, image
