"""What `builder.status` does: showing what the locations of Dagster Cloud run, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from builder.delivery.connection import connected_cloud, unknown_location
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.destination import existing_deployment
from builder.deployment.document import text_at
from builder.deployment.entries import Entry
from builder.deployment.server_error import cut_server_error
from builder.errors import LoadError
from builder.terminal.console import console
from builder.terminal.formatting import quoted


def show_status(*, deployment: str | None, names: Sequence[str], as_json: bool) -> int:
    """Show what locations run; returns the exit code, 1 if one does not load.

    :param deployment: a full one, or the id of a branch deployment; None for all full ones.
    :param names: of the locations to show; none for all.
    """
    with connected_cloud() as (cloud, known):
        wanted = [existing_deployment(deployment, known, branches=True)] if deployment else known
        entries = {name: cloud.entries(name) for name in wanted}
        _check_names(entries, names)
        shown = {
            name: [entry for entry in of_deployment.values() if not names or entry.name in names]
            for name, of_deployment in entries.items()
        }
        if as_json:
            _print_json(cloud, shown)
        else:
            _print_table(shown)
    return int(any(entry.loads is False for of_deployment in shown.values() for entry in of_deployment))


def _check_names(entries: Mapping[str, Mapping[str, Entry]], names: Iterable[str]) -> None:
    known = {name for of_deployment in entries.values() for name in of_deployment}
    for name in names:
        if name not in known:
            raise unknown_location(name, known, " or ".join(f"`{deployment}`" for deployment in entries))


def _print_json(cloud: DagsterCloudClient, shown: Mapping[str, Sequence[Entry]]) -> None:
    deployments = [
        {
            "name": name,
            "url": cloud.organization.page(name),
            "locations": [_facts(entry) for entry in entries],
        }
        for name, entries in shown.items()
    ]
    console.result(json.dumps({"deployments": deployments}, indent=2, ensure_ascii=False))


def _facts(entry: Entry) -> dict[str, object]:
    error = cut_server_error(entry.error) if entry.loads is False and entry.error else None
    return {
        "name": entry.name,
        "state": _state(entry),
        "commit": entry.commit_hash,
        "commit_url": text_at(entry.document, "git", "url"),
        "since": _time(entry).isoformat(timespec="seconds") if entry.timestamp else None,
        "pex_tag": entry.pex_tag,
        "python_version": text_at(entry.document, "pex_metadata", "python_version"),
        "image": entry.image,
        "error": {"what": error.what, "lines": list(error.lines)} if error else None,
    }


def _print_table(shown: Mapping[str, Sequence[Entry]]) -> None:
    rows = [
        [
            name if index == 0 else "",
            entry.name,
            _state(entry),
            (entry.commit_hash or "")[:10],
            f"{_time(entry):%Y-%m-%d %H:%M} UTC" if entry.timestamp else "",
            _code(entry),
        ]
        for name, entries in shown.items()
        for index, entry in enumerate(entries)
    ]
    if not rows:
        console.note(f"there are no locations in {quoted(shown)}")
        return
    console.table(["deployment", "location", "state", "commit", "since", "runs"], rows)
    for name, entries in shown.items():
        for entry in entries:
            if entry.loads is False and entry.error:
                error = cut_server_error(entry.error)
                what = f"it does not load in `{name}`: {error.what}"
                remedy = (
                    f"Correct the code and deploy it, or run `builder.rollback {entry.name} --deployment {name}`"
                )
                console.note("")
                detail = None if error.lines == (error.what,) else "\n".join(error.lines)
                console.error(LoadError(what, detail=detail, remedy=remedy), about=f"location `{entry.name}`")


def _state(entry: Entry) -> str:
    if entry.loads is not None:
        return "loaded" if entry.loads else "failed"
    return "loading" if entry.load_status else "waiting for an agent"


def _time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.timestamp, UTC)


def _code(entry: Entry) -> str:
    """What a location runs, for people: names of PEX files have too many digits."""
    if entry.pex_tag:
        version = text_at(entry.document, "pex_metadata", "python_version")
        return f"PEX files, Python {version}" if version else f"PEX files, on {entry.image}"
    return entry.image or ""
