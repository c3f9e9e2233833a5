"""Updating locations; afterwards it is known which were updated, even if the connection failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from builder.deployment import operations
from builder.deployment.cloud_errors import AGAIN, GraphQLErrors, UnknownOutcomeError
from builder.deployment.entries import Entry
from builder.deployment.graphql import GraphQL
from builder.errors import CloudError, Notice
from builder.system import process
from builder.terminal.formatting import quoted

Document = Mapping[str, Any]

LATE_UPDATE_SECONDS: float = 15
"""Seconds for which a server that did not answer in time is watched, since it may still be at it."""

LOOK: float = 1
"""Seconds between two polls of it."""


class NotUpdated(CloudError):
    """Not all locations were updated.

    :param updated: the names of those that were all the same.
    :param unknown: of those that may have been, or may still be.
    """

    def __init__(
        self, error: CloudError, what: str, *, updated: Sequence[str] = (), unknown: Sequence[str] = ()
    ) -> None:
        super().__init__(what, detail=error.detail, remedy=error.remedy)
        self.updated = frozenset(updated)
        self.unknown = frozenset(unknown)


def update_locations(
    graphql: GraphQL,
    entries: Callable[[], Mapping[str, Entry]],
    deployment: str,
    documents: Sequence[Document],
    tell: Callable[[Notice], None],
    *,
    before: Mapping[str, Entry],
) -> None:
    """Add or update locations in one call, or one by one where the server does not know that call.

    :param entries: gives what the deployment holds now.
    :param before: what it held when it was looked at last.
    :param tell: called with a notice if an update took place although no answer came.

    Raises NotUpdated, or another CloudError where nothing was updated for certain.
    """
    update = _Update(graphql, entries, deployment, tell, before)
    everything = {"locations": list(documents)}
    try:
        update.send(operations.DEPLOY_LOCATIONS_FROM_DOCUMENT_MUTATION, "deployLocations", everything, documents)
    except GraphQLErrors as error:
        if not error.lacks_field("deployLocations"):
            raise
    else:
        return
    for index, document in enumerate(documents):
        text, field = operations.ADD_OR_UPDATE_LOCATION_FROM_DOCUMENT_MUTATION, "addOrUpdateLocationFromDocument"
        try:
            update.send(text, field, document, [document])
        except CloudError as error:
            done, left = _names(documents[:index]), _names(documents[index + 1 :])
            updated = f"; {quoted(done)} had been updated before" if done else ""
            unchanged = f"; {_were(left)} left unchanged" if left else ""
            what = f"{error.what}{updated}{unchanged}"
            unknown = error.unknown if isinstance(error, NotUpdated) else ()
            raise NotUpdated(error, what, updated=done, unknown=tuple(unknown)) from error


def reason(reply: object) -> str | None:
    """Why a mutation was refused, in the words of its reply; None if it has none."""
    if not isinstance(reply, dict):
        return None
    errors = reply.get("errors")
    texts = errors if isinstance(errors, list) else [reply.get("message")]
    return "\n".join(str(text).strip() for text in texts if text) or None


class _Update:
    def __init__(
        self,
        graphql: GraphQL,
        entries: Callable[[], Mapping[str, Entry]],
        deployment: str,
        tell: Callable[[Notice], None],
        before: Mapping[str, Entry],
    ) -> None:
        self._before = before
        self._graphql = graphql
        self._entries = entries
        self._deployment = deployment
        self._tell = tell

    def send(self, text: str, field: str, document: Document, documents: Sequence[Document]) -> None:
        """Send a document with these locations, and find out what was updated."""
        try:
            data = self._graphql.execute(text, {"document": document}, deployment=self._deployment)
            _check(data.get(field), documents, self._deployment)
        except UnknownOutcomeError as error:
            if isinstance(error, GraphQLErrors) and error.lacks_field(field):
                raise
            self._find_out(error, documents)

    def _find_out(self, error: UnknownOutcomeError, documents: Sequence[Document]) -> None:
        """Poll after an update without an answer; returns if all of it took place."""
        until = time.monotonic() + (LATE_UPDATE_SECONDS if error.late else 0)
        while True:
            try:
                entries = self._entries()
            except CloudError:
                names = _names(documents)
                what = f"{error.what}; it could not be found out whether {_were(names)} updated"
                error.remedy = (
                    f"Look at the deployment `{self._deployment}`, or run it again: the same may be deployed twice"
                )
                raise NotUpdated(error, what, unknown=names) from error
            missing = [document for document in documents if not self._is_there(entries, document)]
            if not missing:
                text = f"{error.what}; nevertheless {_were(_names(documents))} updated"
                self._tell(Notice(text, is_note=True))
                return
            if time.monotonic() >= until or process.stopping.wait(LOOK):
                break
        done = _names([document for document in documents if document not in missing])
        left = _names(missing)
        but = f"; {_were(done)} updated" if done else ""
        late = ", but it may still be, when the server gets round to it" if error.late else ""
        what = f"{error.what}; {_were(left)} not updated{late}{but}"
        raise NotUpdated(error, what, updated=done, unknown=left if error.late else ()) from error

    def _is_there(self, entries: Mapping[str, Entry], document: Document) -> bool:
        """Whether a deployment holds what a document says, and was updated since it was read last.

        A document that changes settings only, or nothing, is recognised by the time of the update.
        """
        entry, before = entries.get(document["location_name"]), self._before.get(document["location_name"])
        pex, git = document.get("pex_metadata") or {}, document.get("git") or {}
        if entry is None or (entry.pex_tag, entry.commit_hash, entry.image) != (
            pex.get("pex_tag"),
            git.get("commit_hash"),
            document.get("image"),
        ):
            return False
        # A server that does not say the time says 0.
        return before is None or not entry.timestamp or entry.timestamp != before.timestamp


def _names(documents: Sequence[Document]) -> list[str]:
    return [str(document["location_name"]) for document in documents]


def _were(names: Sequence[str]) -> str:
    return f"{quoted(names)} {'was' if len(names) == 1 else 'were'}"


def _check(reply: object, documents: Sequence[Document], deployment: str) -> None:
    """Raise CloudError if a reply is a refusal, UnknownOutcomeError if it is neither that nor a success."""
    names = quoted(_names(documents))
    kind = reply.get("__typename") if isinstance(reply, dict) else None
    if kind in {"DeployLocationsSuccess", "WorkspaceEntry"}:
        return
    if kind == "InvalidLocationError":
        raise CloudError(
            f"Dagster Cloud finds the declaration of {names} invalid and has updated nothing",
            detail=reason(reply),
            remedy="Correct the entry of the location in the workspace file, and what is in its `defaults`",
        )
    if kind == "UnauthorizedError":
        raise CloudError(
            f"the token may not update {names} in the deployment `{deployment}`",
            detail=reason(reply),
            remedy="Use a token that may deploy there: an agent's, or that of a user with the role Editor",
        )
    raise UnknownOutcomeError(f"Dagster Cloud failed to update {names}", detail=reason(reply), remedy=AGAIN)
