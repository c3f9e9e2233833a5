"""The versions of a location that a deployment has run, recorded in the deployment's storage.

Dagster Cloud's API tells of the version that runs now and of no others. Each deploy records what it replaces, and
what it brings: what is missing, as when two runs write at once, is there after the next one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from builder.deployment.document import text_at
from builder.deployment.entries import Entry
from builder.deployment.graphql import GraphQL
from builder.errors import CloudError
from builder.terminal.formatting import quoted

_KEPT: Final = 50
_SHORTEST_COMMIT: Final = 4
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a location.

    :param document: that the location was updated with.
    :param since: when, in seconds since 1970.
    :param good: whether it is one to go back to: it loaded, and was not rolled back itself; None if unknown.
    """

    document: Mapping[str, Any]
    since: float
    good: bool | None

    @property
    def name(self) -> str:
        """Its pex tag, or else its image."""
        return text_at(self.document, "pex_metadata", "pex_tag") or text_at(self.document, "image") or ""

    @property
    def commit_hash(self) -> str:
        """Of its code; empty if unknown."""
        return text_at(self.document, "git", "commit_hash") or ""

    @property
    def label(self) -> str:
        """What people call it."""
        return f"commit `{self.commit_hash[:_SHOWN]}`" if self.commit_hash else f"`{self.name}`"

    def is_same(self, other: Version | Entry) -> bool:
        """Whether both are the same code."""
        name = other.name if isinstance(other, Version) else other.version
        return (self.name, self.commit_hash) == (name, other.commit_hash or "")

    def is_recorded_as(self, known: Version) -> bool:
        """Whether a record already says all of it but the time."""
        return self.document == known.document and self.good == known.good


def version_of(entry: Entry) -> Version | None:
    """What a deployment runs now; None if that cannot be read."""
    return Version(entry.document, entry.timestamp, entry.loads) if entry.document and entry.version else None


def recorded_versions(graphql: GraphQL, deployment: str, location: str) -> list[Version]:
    """The versions of a location, the oldest first; none if there is no record, or none that can be read.

    Raises CloudError.
    """
    content = graphql.get_artifact(deployment, _key(location))
    try:
        record = json.loads(content or b"{}")
        entries = record["versions"]
        if record["sha256"] != _sha256(entries):
            return []
        return [Version(dict(entry["document"]), float(entry["since"]), entry["good"]) for entry in entries]
    except (ValueError, LookupError, TypeError):
        return []


def record_versions(graphql: GraphQL, deployment: str, location: str, versions: Sequence[Version]) -> None:
    """Write the record of a location; raises CloudError."""
    entries = [
        {"document": version.document, "since": version.since, "good": version.good}
        for version in versions[-_KEPT:]
    ]
    record = {"location": location, "versions": entries, "sha256": _sha256(entries)}
    graphql.put_artifact(deployment, _key(location), json.dumps(record, ensure_ascii=False).encode())


def _sha256(entries: object) -> str:
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def with_update(versions: Sequence[Version], before: Version | None, new: Version) -> list[Version]:
    """The versions after an update: what it replaced, and then what it brought, are the last ones."""
    known = list(versions)
    for latest in filter(None, (before, new)):
        same = [version for version in known if version.is_same(latest)]
        known = [version for version in known if not version.is_same(latest)]
        # Of what was replaced the record knows more than the server.
        known.append(same[-1] if same and latest is before else latest)
    return known


def with_rollback(
    versions: Sequence[Version], left: Version | None, chosen: Version, *, good: bool | None
) -> list[Version]:
    """The versions after a rollback, in their order: what was left is nothing to go back to."""
    known = [*versions]
    if left and not any(version.is_same(left) for version in known):
        known.append(left)
    marks = [(chosen, good), *([(left, False)] if left else [])]
    return [
        next((replace(version, good=mark) for marked, mark in marks if version.is_same(marked)), version)
        for version in known
    ]


def choose_version(versions: Sequence[Version], present: Entry, commit: str | None) -> Version:
    """The newest version of a commit, or else the newest good one before the present one; raises CloudError."""
    others = [version for version in versions if not version.is_same(present)]
    listed = quoted(
        dict.fromkeys(version.commit_hash[:_SHOWN] for version in reversed(others) if version.commit_hash)
    )
    if commit is None:
        index = next((index for index, version in enumerate(versions) if version.is_same(present)), len(versions))
        before = [version for version in versions[:index] if version.good is not False and version in others]
        if before:
            return before[-1]
        raise CloudError(
            f"no version of `{present.name}` is recorded that loaded before the present one",
            remedy=f"Name one with --to: {listed}" if listed else _DEPLOY_OLDER,
        )
    fitting = [version for version in others if version.commit_hash.startswith(commit.lower())]
    if not fitting or len(commit) < _SHORTEST_COMMIT:
        raise CloudError(
            f"no version of `{present.name}` is recorded whose commit is `{commit}`",
            remedy=f"Choose from: {listed}" if listed else _DEPLOY_OLDER,
        )
    if len({version.commit_hash for version in fitting}) > 1:
        commits = quoted(dict.fromkeys(version.commit_hash for version in fitting))
        raise CloudError(f"`{commit}` begins several commits: {commits}", remedy="Give more digits of it")
    return fitting[-1]


_DEPLOY_OLDER: Final = (
    "Check the older commit out, and deploy it with `builder.deploy`: what that deploys is recorded from then on"
)


def _key(location: str) -> str:
    return f"__builder__/versions/{hashlib.sha256(location.encode()).hexdigest()}.json"
