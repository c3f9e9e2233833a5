"""The location entries of a deployment: versions, load status and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.deployment.cloud_errors import UnknownOutcomeError
from builder.deployment.document import deployed_document, text_at
from builder.deployment.server_error import ServerError, read_server_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One location of a deployment.

    :param document: what was deployed last, as `location_document` makes it; None if it cannot be read.
    :param outdated: whether what follows is still about an earlier version; None if the server does not say.
    :param timestamp: of the last deploy, in seconds since 1970.
    :param load_status: `LOADED` or `LOADING`; None if no agent has heard of the location yet.
    :param error: why it does not load.
    """

    name: str
    document: Mapping[str, Any] | None
    outdated: bool | None
    timestamp: float
    load_status: str | None
    error: ServerError | None

    @property
    def pex_tag(self) -> str | None:
        """Of what was deployed last; None if that has none."""
        return self._text("pex_metadata", "pex_tag")

    @property
    def commit_hash(self) -> str | None:
        """Of the same."""
        return self._text("git", "commit_hash")

    @property
    def image(self) -> str | None:
        """Of the same."""
        return self._text("image")

    @property
    def loads(self) -> bool | None:
        """Whether what was deployed last loads; None if it is not known yet."""
        if self.outdated or self.load_status != "LOADED":
            return None
        return self.error is None

    def _text(self, *keys: str) -> str | None:
        return text_at(self.document, *keys)

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
    location = loaded.get("locationOrLoadError") or {}
    error = read_server_error(location) if location.get("__typename") == "PythonError" else None
    return Entry(
        name=name,
        document=deployed_document(name, deployed.get("serializedDeploymentMetadata")),
        outdated=deployed.get("hasOutdatedData"),
        timestamp=float(deployed.get("metadataTimestamp") or 0),
        load_status=loaded.get("loadStatus"),
        error=error,
    )
