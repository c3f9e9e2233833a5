"""The context of a run in GitHub Actions: its event file, read strictly, and its environment.

What they mean is in GitHub's documentation: "Events that trigger workflows", "Webhook events and payloads",
"Variables reference". GitHub Enterprise differs in the server's URL only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from builder.deployment import git
from builder.deployment.context import (
    GIVE_DEPLOYMENT,
    GIVE_DETAILS,
    CiContext,
    Commit,
    PullRequest,
    Status,
    commit_url,
    tree_url,
)
from builder.errors import ContextError
from builder.system.git import is_hash

_OF_THE_DEFAULT_BRANCH = frozenset({"schedule", "repository_dispatch"})
"""Events that run nowhere else; their payloads need not say its name."""

_OF_A_REF = frozenset({"push", "workflow_dispatch", "release"}) | _OF_THE_DEFAULT_BRANCH
"""Events that run the branch or tag of GITHUB_REF."""

_MERGE_QUEUE = "refs/heads/gh-readonly-queue/"


def is_github(environ: Mapping[str, str]) -> bool:
    """Whether this run is one of GitHub Actions, even if not all that it sets has come as far as here.

    A container may be given some of it only; a pull request's branch is a fork's `main` at times.
    """
    marks = (
        "GITHUB_ACTIONS",
        "GITHUB_EVENT_PATH",
        "GITHUB_EVENT_NAME",
        "GITHUB_REF",
        "GITHUB_HEAD_REF",
        "GITHUB_BASE_REF",
    )
    return any(environ.get(name, "") not in ("", "false") for name in marks)


def github_context(directory: Path, environ: Mapping[str, str]) -> CiContext:
    """Read the event of this run, and its commit from the checkout in `directory`.

    Raises ContextError if the event cannot be read, or comes from a pull request without saying all about it.
    """
    event = _Event(_read_payload(environ), environ)
    if "pull_request" in event.payload:
        return _pull_request_context(event, directory)
    if reason := _hidden_pull_request(event):
        what = f"the event `{event.name}` of this run is about code that is not merged yet ({reason})"
        raise ContextError(what, detail="it does not say all that a branch deployment needs", remedy=GIVE_DETAILS)
    return _ref_context(event, directory)


def is_of_default_branch(environ: Mapping[str, str], name: str | None = None) -> bool:
    """Whether the code of this run is the default branch's: not another's, a tag's or what is not merged yet.

    :param name: of the default branch; None for what the event says.

    Raises ContextError if there is an event that cannot be read.
    """
    event = _Event(_read_payload(environ) if environ.get("GITHUB_EVENT_PATH") else {}, environ)
    if "pull_request" in event.payload or _hidden_pull_request(event):
        return False
    branch = _branch(event)
    return branch is not None and branch == (name or event.text("repository.default_branch"))


@dataclass(frozen=True, slots=True)
class _Event:
    payload: Mapping[str, object]
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.environ.get("GITHUB_EVENT_NAME") or "(unnamed)"

    @property
    def ref(self) -> str:
        return self.environ.get("GITHUB_REF", "")

    @property
    def repository(self) -> str | None:
        return self.text("repository.full_name") or self.environ.get("GITHUB_REPOSITORY") or None

    @property
    def repository_url(self) -> str | None:
        server = self.environ.get("GITHUB_SERVER_URL", "").rstrip("/")
        return f"{server}/{self.repository}" if server and self.repository else self.text("repository.html_url")

    @property
    def run_url(self) -> str | None:
        run = self.environ.get("GITHUB_RUN_ID")
        return f"{self.repository_url}/actions/runs/{run}" if run and self.repository_url else None

    def value(self, path: str) -> object:
        """What is at `path` (keys with dots between); None if anything on the way is missing."""
        value: object = self.payload
        for key in path.split("."):
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value

    def text(self, path: str) -> str | None:
        value = self.value(path)
        return value if isinstance(value, str) and value else None

    def required(self, path: str) -> str:
        text = self.text(path)
        if text is None:
            raise self.unusable(f"no text at `{path}`")
        return text

    def unusable(self, detail: str) -> ContextError:
        what = f"the event `{self.name}` of this run does not describe its pull request as GitHub does"
        return ContextError(what, detail=f"{self.environ.get('GITHUB_EVENT_PATH')}: {detail}", remedy=GIVE_DETAILS)


def _read_payload(environ: Mapping[str, str]) -> Mapping[str, object]:
    what = "the event of this run cannot be read, so it may be a pull request"
    path = environ.get("GITHUB_EVENT_PATH")
    if not path:
        raise ContextError(what, detail="GITHUB_EVENT_PATH is not set", remedy=GIVE_DETAILS)
    try:
        payload = json.loads(Path(path).read_text(encoding="utf-8"))
    # ValueError: not UTF-8, not JSON, a path with a null character.
    except (OSError, ValueError, RecursionError) as error:
        raise ContextError(what, detail=f"{path}: {error}", remedy=GIVE_DETAILS) from error
    if not isinstance(payload, dict):
        raise ContextError(what, detail=f"{path}: not a JSON object", remedy=GIVE_DETAILS)
    return payload


def _pull_request_context(event: _Event, directory: Path) -> CiContext:
    repository = event.required("repository.full_name")
    number = event.value("pull_request.number")
    # Not GITHUB_SHA, which is a merge commit made by GitHub.
    commit_hash = event.required("pull_request.head.sha")
    if not isinstance(number, int) or isinstance(number, bool):
        raise event.unusable("no number at `pull_request.number`")
    if not is_hash(commit_hash):
        raise event.unusable("no commit hash at `pull_request.head.sha`")
    branch = event.required("pull_request.head.ref")
    # A fork may have been deleted since.
    branch_home = event.text("pull_request.head.repo.html_url") or event.repository_url
    return CiContext(
        provider="github",
        repository=repository,
        repository_url=event.repository_url,
        commit_hash=commit_hash,
        commit=_pull_request_commit(event, directory, commit_hash),
        branch=branch,
        default_branch=event.text("repository.default_branch"),
        base_branch=event.text("pull_request.base.ref"),
        pull_request=PullRequest(
            number=str(number),
            url=event.required("pull_request.html_url"),
            status=_status(event),
            branch=branch,
            branch_url=tree_url("github", branch_home, branch),
        ),
        run_url=event.run_url,
    )


def _status(event: _Event) -> Status:
    # Events about reviews have `merged_at` only.
    if event.value("pull_request.merged") is True or event.text("pull_request.merged_at"):
        return "MERGED"
    match event.required("pull_request.state"):
        case "open":
            return "OPEN"
        case "closed":
            return "CLOSED"
        case state:
            raise event.unusable(f"`pull_request.state` is `{state}`")


def _pull_request_commit(event: _Event, directory: Path, commit_hash: str) -> Commit:
    commit = git.read_commit(directory, commit_hash)
    if commit is None:
        # actions/checkout fetches only the merge commit, so use the pull request's title as the message.
        commit = Commit(
            hash=commit_hash,
            timestamp=_timestamp(event, "pull_request.updated_at"),
            message=event.text("pull_request.title"),
            author_name=event.text("pull_request.user.login"),
        )
    url = commit_url("github", event.repository_url, commit_hash)
    return replace(commit, url=url, avatar_url=event.text("pull_request.user.avatar_url"))


def _timestamp(event: _Event, path: str) -> float:
    text = event.required(path)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise event.unusable(f"no time at `{path}`: {error}") from error


def _hidden_pull_request(event: _Event) -> str | None:
    """The sign that an event without a `pull_request` is for unmerged code; None if there is none."""
    unmerged = ("pull_request", "merge_group")
    earlier = str(event.value("workflow_run.event"))
    earlier_home = event.value("workflow_run.head_repository.full_name")
    signs = {
        "its name": event.name.startswith(unmerged),
        f"GITHUB_REF is `{event.ref}`": event.ref.startswith(("refs/pull/", _MERGE_QUEUE)),
        "GITHUB_HEAD_REF is set": bool(event.environ.get("GITHUB_HEAD_REF")),
        "GITHUB_BASE_REF is set": bool(event.environ.get("GITHUB_BASE_REF")),
        "it has a `merge_group`": "merge_group" in event.payload,
        "the issue is a pull request": event.value("issue.pull_request") is not None,
        "its sender named a pull request": event.value("client_payload.pull_request") is not None,
        f"the run before this one was for `{earlier}`": earlier.startswith(unmerged),
        f"the run before this one was for `{earlier_home}`": earlier_home not in (None, event.repository),
        **{
            f"`{key}` names pull requests": bool(event.value(f"{key}.pull_requests"))
            for key in ("workflow_run", "check_run", "check_suite")
        },
    }
    return next((reason for reason, seen in signs.items() if seen), None)


def _branch(event: _Event) -> str | None:
    """The branch whose code a run builds; None for a tag, or if it is unknown."""
    if event.name == "workflow_run":
        # GITHUB_REF is the default branch here, whatever branch the other workflow ran on.
        return event.text("workflow_run.head_branch")
    return event.ref.removeprefix("refs/heads/") if event.ref.startswith("refs/heads/") else None


def _ref_context(event: _Event, directory: Path) -> CiContext:
    branch = _branch(event)
    default = event.text("repository.default_branch")
    commit_hash = event.environ.get("GITHUB_SHA") or None
    settled = event.name in _OF_A_REF and (branch is not None or event.ref.startswith("refs/tags/"))
    if event.name in _OF_THE_DEFAULT_BRANCH:
        default = default or branch
    elif event.name == "workflow_run":
        settled = event.text("workflow_run.event") in _OF_A_REF and branch is not None
    uncertain = None
    if not settled or (event.name != "push" and branch is not None and branch != default):
        where = f" (`{branch}`)" if branch else ""
        what = f"the event `{event.name}` of this run does not say whether its code{where} belongs into production"
        uncertain = ContextError(what, remedy=GIVE_DEPLOYMENT)
    return CiContext(
        provider="github",
        repository=event.repository,
        repository_url=event.repository_url,
        commit_hash=commit_hash,
        commit=git.read_commit(directory, commit_hash) if commit_hash else None,
        branch=branch,
        default_branch=default,
        base_branch=default,
        run_url=event.run_url,
        uncertain=uncertain,
    )
