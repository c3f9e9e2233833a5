"""The summary of a run as markdown, for GitHub's job summary and the comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from urllib.parse import quote, urlsplit

from builder.deployment.dependency_changes import DependencyChanges
from builder.system.redaction import redacted
from builder.terminal import markdown
from builder.terminal.formatting import size

_K = TypeVar("_K")

State = Literal["building", "built", "uploaded", "updated", "ready", "unchanged", "failed", "stopped"]
"""The first five in the order in which a location gets there; a run ends where it was asked to."""

_SHOWN: Final[Mapping[State, str]] = {
    "building": "⏳ building",
    "built": "✅ built",
    "uploaded": "✅ uploaded",
    "updated": "✅ updated, not waited for",
    "ready": "✅ ready",
    "unchanged": "✅ unchanged, not updated",
    "failed": "❌ failed",
    "stopped": "⏹️ stopped",
}
_FIRST: Final = ("failed", "stopped", "building", "updated", "uploaded", "built", "unchanged", "ready")
"""What is shown if there is no room for all."""

_LIMIT: Final = 55_000
"""Bytes: GitHub takes 65 536 characters for a comment, and its marker has to fit too."""

_LISTED: Final = 10
_LONGEST_ERROR: Final = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationSummary:
    """What became of one location; None stands for what is not known (yet).

    :param url: of the location's page.
    :param deps_size: bytes of the deps PEX; `source_size` likewise.
    :param sent_bytes: how much of both had to be uploaded.
    :param seconds: from its start until it was loaded.
    :param error: why it failed; may have several lines.
    :param error_where: the file and line to look at, and
    :param error_url: where the repository shows that line of the commit.
    :param changes: None if the last deploy's dependencies are not known.
    """

    name: str
    state: State
    url: str | None = None
    version: str | None = None
    deps_size: int | None = None
    source_size: int | None = None
    sent_bytes: int | None = None
    seconds: float | None = None
    error: str | None = None
    error_where: str | None = None
    error_url: str | None = None
    changes: DependencyChanges | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run did, or is doing, to a deployment.

    :param deployment: None as long as it is not known, or if none is to be updated.
    :param branch: of a branch deployment, whose own name is only a number.
    :param pull_request: its number, and `pull_request_url` its page.
    :param run_url: of the run's log.
    """

    deployment: str | None
    branch: str | None = None
    pull_request: str | None = None
    pull_request_url: str | None = None
    deployment_url: str | None
    commit_hash: str | None
    commit_url: str | None
    run_url: str | None
    locations: tuple[LocationSummary, ...]


def job_summary(outcome: RunSummary) -> str:
    """A job's summary: a table of all locations, why some failed, and what changed in their dependencies."""
    rows = {
        location: [
            _link(location.name, location.url),
            _SHOWN[location.state],
            _size(location.deps_size),
            _size(location.source_size),
            _size(location.sent_bytes),
            "" if location.seconds is None else f"{location.seconds:.1f}",
            _counts(location.changes),
        ]
        for location in outcome.locations
    }
    columns = ["location", "result", ">deps", ">source", ">sent", ">seconds", "dependencies"]
    parts = [*_failures(outcome), *_changes(outcome), *_versions(outcome)]
    return _document(outcome, columns, rows, parts)


def comment_body(outcome: RunSummary) -> str:
    """A pull request's comment: where the code runs, or what keeps it from running."""
    rows = {
        location: [_link(location.name, location.url), _SHOWN[location.state], _counts(location.changes)]
        for location in outcome.locations
    }
    return _document(outcome, ["location", "result", "dependencies"], rows, _failures(outcome))


def closed_body(branch: str, status: str, run_url: str | None) -> str:
    """A pull request's comment after its end, and the summary of the job that ended it.

    :param status: `closed` or `merged`.
    """
    log = f", [log]({run})" if (run := _address(run_url)) else ""
    ended = f"this pull request is {status}, and so is its branch deployment"
    return f"**Dagster Cloud**: branch deployment {markdown.code(branch)}{log}\n\n{ended}\n"


def _document(
    outcome: RunSummary,
    columns: Sequence[str],
    rows: Mapping[LocationSummary, Sequence[str]],
    parts: Iterable[str],
) -> str:
    """Heading, table and parts, as much of them as there is room for."""
    # What is not known of any location takes no column.
    filled = [index for index in range(len(columns)) if any(cells[index] for cells in rows.values())]
    columns = [columns[index] for index in filled]
    rows = {location: [cells[index] for index in filled] for location, cells in rows.items()}
    titles = [column.removeprefix(">") for column in columns]
    rules = ["--:" if column.startswith(">") else "---" for column in columns]
    heading = f"{_heading(outcome)}\n\n{markdown.row(titles)}\n{markdown.row(rules)}\n"
    room = _LIMIT - len(heading.encode())
    lines = {location: markdown.row(cells) + "\n" for location, cells in rows.items()}
    shown = set(_fitting(sorted(lines, key=lambda line: _FIRST.index(line.state)), lines, room // 2))
    table = "".join(line for location, line in lines.items() if location in shown)
    room -= len(table.encode())
    if left := len(lines) - len(shown):
        table += f"\nand {left} more locations\n"
    texts = dict(enumerate(f"\n{part}\n" for part in parts))
    fitting = _fitting(texts, texts, room)
    more = "\nThe rest is in the log.\n" if len(fitting) < len(texts) else ""
    return heading + table + "".join(texts[key] for key in fitting) + more


def _fitting(keys: Iterable[_K], texts: Mapping[_K, str], room: int) -> list[_K]:
    """The first of `keys` whose texts have no more than `room` bytes together."""
    fitting = []
    for key in keys:
        room -= len(texts[key].encode())
        if room < 0:
            break
        fitting.append(key)
    return fitting


def _heading(outcome: RunSummary) -> str:
    counts = {state: sum(location.state == state for location in outcome.locations) for state in _FIRST}
    listed = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    facts = ["**Dagster Cloud**"]
    if outcome.branch:
        facts[0] += f": branch deployment {_link(outcome.branch, outcome.deployment_url)}"
    elif outcome.deployment:
        facts[0] += f": deployment {_link(outcome.deployment, outcome.deployment_url)}"
    if outcome.pull_request:
        facts.append(f"pull request {_link(f'#{outcome.pull_request}', outcome.pull_request_url)}")
    if outcome.commit_hash:
        facts.append(f"commit {_link(outcome.commit_hash[:10], outcome.commit_url)}")
    if run := _address(outcome.run_url):
        facts.append(f"[log]({run})")
    return f"{', '.join(facts)}\n\nLocations: {listed or 'none'}"


def _failures(outcome: RunSummary) -> Iterable[str]:
    for location in outcome.locations:
        if location.error:
            where = f" (at {_link(location.error_where, location.error_url)})" if location.error_where else ""
            text = markdown.shortened(redacted(location.error).strip(), _LONGEST_ERROR)
            yield f"{markdown.code(location.name)} {location.state}{where}:\n\n{markdown.block(text)}"


def _changes(outcome: RunSummary) -> Iterable[str]:
    for location in outcome.locations:
        if location.changes is None or location.changes == DependencyChanges((), (), ()):
            continue
        changes = location.changes
        kinds = {
            "added": [f"{markdown.code(name)} {markdown.code(version)}" for name, version in changes.added],
            "removed": [f"{markdown.code(name)} {markdown.code(version)}" for name, version in changes.removed],
            "changed": [
                f"{markdown.code(name)} {markdown.code(old)} → {markdown.code(new)}"
                for name, old, new in changes.changed
            ],
        }
        lines = [f"- {kind}: {_first(entries)}" for kind, entries in kinds.items() if entries]
        yield f"Dependencies of {markdown.code(location.name)} since the last deploy:\n\n" + "\n".join(lines)


def _first(entries: Sequence[str]) -> str:
    more = len(entries) - _LISTED
    return ", ".join(entries[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _versions(outcome: RunSummary) -> Iterable[str]:
    tags = [
        f"- {markdown.code(location.name)}: {markdown.code(location.version, 1000)}"
        for location in outcome.locations
        if location.version
    ]
    if tags:
        lines = "\n".join(tags)
        yield f"<details><summary>What each location runs</summary>\n\n{lines}\n\n</details>"


def _counts(changes: DependencyChanges | None) -> str:
    if changes is None:
        return ""
    counts = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    return ", ".join(f"{len(names)} {kind}" for kind, names in counts.items() if names) or "unchanged"


def _size(count: int | None) -> str:
    return "" if count is None else size(count)


def _link(text: str, url: str | None) -> str:
    address = _address(url)
    return f"[{markdown.code(text)}]({address})" if address else markdown.code(text)


def _address(url: str | None) -> str | None:
    """A URL that cannot leave the parentheses of its link, and only one of the web."""
    if url is None or urlsplit(url).scheme not in {"http", "https"}:
        return None
    return quote(url, safe=":/?#@!$&+,;=%~-._")
