"""The context of a job in GitLab CI, from its variables (GitLab's "Predefined CI/CD variables reference")."""

from __future__ import annotations

import re
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
    commit_url,
    tree_url,
)
from builder.errors import ContextError, Notice

_MERGE_REQUEST_SOURCES = ("merge_request_event", "external_pull_request_event")


def is_gitlab(environ: Mapping[str, str]) -> bool:
    """Whether this run is a job of GitLab CI, even if only some of its variables have come as far as here."""
    return any(environ.get(name) for name in ("GITLAB_CI", "CI_MERGE_REQUEST_IID", "CI_OPEN_MERGE_REQUESTS"))


def gitlab_context(directory: Path, environ: Mapping[str, str]) -> CiContext:
    """Read the job's variables, and its commit from the checkout in `directory` where they do not tell.

    Raises ContextError if the job is about a merge request that its variables do not describe for certain.
    """
    # GitLab sets some to the empty text, which means the same as leaving them out.
    job = _Job({name: value for name, value in environ.items() if value})
    if iid := job.get("CI_MERGE_REQUEST_IID"):
        # In a fork's pipeline the merge request is the other project's.
        project = job.get("CI_MERGE_REQUEST_PROJECT_PATH") or job.required("CI_PROJECT_PATH")
        return _merge_request_context(
            job, directory, project, iid, job.required("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
        )
    if reason := _hidden_merge_request(job):
        what = f"this job is about a merge request ({reason}), but CI_MERGE_REQUEST_IID is not set"
        raise ContextError(what, remedy=GIVE_DETAILS)
    if references := job.get("CI_OPEN_MERGE_REQUESTS"):
        project, iid = _choose_merge_request(references, job.required("CI_PROJECT_PATH"))
        context = _merge_request_context(job, directory, project, iid, job.required("CI_COMMIT_BRANCH"))
        return replace(context, notices=_unexpected(context))
    return _ref_context(job, directory)


@dataclass(frozen=True, slots=True)
class _Job:
    environ: Mapping[str, str]

    def get(self, name: str) -> str | None:
        return self.environ.get(name)

    def required(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            what = f"this job is about a merge request, but {name} is not set"
            raise ContextError(what, remedy=GIVE_DETAILS)
        return value

    @property
    def project_url(self) -> str | None:
        return self.get("CI_PROJECT_URL") or self.url_of(self.get("CI_PROJECT_PATH"))

    def url_of(self, project: str | None) -> str | None:
        server = self.environ.get("CI_SERVER_URL", "").rstrip("/")
        return f"{server}/{project}" if server and project else None


def _hidden_merge_request(job: _Job) -> str | None:
    source = job.get("CI_PIPELINE_SOURCE")
    if source in _MERGE_REQUEST_SOURCES:
        return f"CI_PIPELINE_SOURCE is `{source}`"
    if job.environ.get("CI_COMMIT_REF_NAME", "").startswith("refs/merge-requests/"):
        return f"CI_COMMIT_REF_NAME is `{job.get('CI_COMMIT_REF_NAME')}`"
    marks = ("CI_MERGE_REQUEST_", "CI_EXTERNAL_PULL_REQUEST_")
    return next((f"{name} is set" for name in sorted(job.environ) if name.startswith(marks)), None)


def _choose_merge_request(references: str, own_project: str) -> tuple[str, str]:
    """Project and number out of `group/project!12,other/project!3`: the branch's open merge requests."""
    merge_requests = [reference.strip().rpartition("!") for reference in references.split(",")]
    requests = [(project, iid) for project, _, iid in merge_requests]
    if len(requests) > 1:
        requests = [request for request in requests if request[0] == own_project]
    if len(requests) != 1 or not all(requests[0]):
        what = f"the merge request of this job is ambiguous: CI_OPEN_MERGE_REQUESTS is `{references}`"
        raise ContextError(what, remedy=GIVE_DETAILS)
    return requests[0]


def _unexpected(context: CiContext) -> tuple[Notice, ...]:
    if context.pull_request is None or context.branch != context.default_branch:
        return ()
    text = (
        f"the default branch `{context.branch}` has an open merge request, {context.pull_request.url}:"
        " what is pushed to it goes to the branch deployment of that"
    )
    return (Notice(text),)


def _merge_request_context(job: _Job, directory: Path, project: str, iid: str, branch: str) -> CiContext:
    # In a pipeline for merged results CI_COMMIT_SHA is GitLab's own merge commit.
    commit_hash = job.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or job.required("CI_COMMIT_SHA")
    url = job.get("CI_MERGE_REQUEST_PROJECT_URL") or job.url_of(project) or job.project_url
    if url is None:
        raise ContextError("this job is about a merge request, but CI_PROJECT_URL is not set", remedy=GIVE_DETAILS)
    commit = _commit(job, directory, commit_hash)
    if commit is None:
        what = f"the date of the commit {commit_hash} of this job's merge request is unknown"
        raise ContextError(what, remedy=GIVE_DETAILS)
    branch_home = job.get("CI_MERGE_REQUEST_SOURCE_PROJECT_URL") or job.project_url
    return CiContext(
        provider="gitlab",
        repository=project,
        repository_url=job.project_url,
        commit_hash=commit_hash,
        commit=commit,
        branch=branch,
        default_branch=job.get("CI_DEFAULT_BRANCH"),
        base_branch=job.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME") or job.get("CI_DEFAULT_BRANCH"),
        pull_request=PullRequest(
            number=iid,
            url=f"{url}/-/merge_requests/{iid}",
            # Pipelines run for open ones only, and no variable says more.
            status="OPEN",
            branch=branch,
            branch_url=tree_url("gitlab", branch_home, branch),
        ),
        run_url=job.get("CI_JOB_URL"),
    )


def _ref_context(job: _Job, directory: Path) -> CiContext:
    branch, default = job.get("CI_COMMIT_BRANCH"), job.get("CI_DEFAULT_BRANCH")
    commit_hash = job.get("CI_COMMIT_SHA")
    pushed = job.get("CI_PIPELINE_SOURCE") == "push"
    uncertain = None
    if (branch is None and job.get("CI_COMMIT_TAG") is None) or (
        branch is not None and branch != default and not pushed
    ):
        where = f" (`{branch}`)" if branch else ""
        what = f"the variables of this job do not say whether its code{where} belongs into production"
        uncertain = ContextError(what, remedy=GIVE_DEPLOYMENT)
    return CiContext(
        provider="gitlab",
        repository=job.get("CI_PROJECT_PATH"),
        repository_url=job.project_url,
        commit_hash=commit_hash,
        commit=_commit(job, directory, commit_hash) if commit_hash else None,
        branch=branch,
        default_branch=default,
        base_branch=default,
        run_url=job.get("CI_JOB_URL"),
        uncertain=uncertain,
    )


def _commit(job: _Job, directory: Path, commit_hash: str) -> Commit | None:
    commit = git.read_commit(directory, commit_hash) or _commit_of_variables(job, commit_hash)
    return replace(commit, url=commit_url("gitlab", job.project_url, commit_hash)) if commit else None


def _commit_of_variables(job: _Job, commit_hash: str) -> Commit | None:
    """What the variables know of the commit; None if that is not even a time."""
    if commit_hash == job.get("CI_COMMIT_SHA"):
        time = job.get("CI_COMMIT_TIMESTAMP")
        message = job.environ.get("CI_COMMIT_MESSAGE", "").strip().partition("\n")[0]
        name, address = _author(job.environ.get("CI_COMMIT_AUTHOR", ""))
    else:
        # These variables describe GitLab's merge commit, so use the merge request's title as the message.
        time, message = job.get("CI_PIPELINE_CREATED_AT"), job.environ.get("CI_MERGE_REQUEST_TITLE", "")
        name, address = "", ""
    try:
        timestamp = datetime.fromisoformat(time or "").timestamp()
    except (ValueError, OverflowError):
        return None
    return Commit(
        hash=commit_hash,
        timestamp=timestamp,
        message=message or None,
        author_name=name or None,
        author_email=address or None,
    )


def _author(text: str) -> tuple[str, str]:
    """Name and address out of git's `Name <address>`; unlike those of mails its names may have commas."""
    match = re.fullmatch(r"(.*?)\s*<([^<>]*)>", text.strip())
    return (match[1], match[2]) if match else (text.strip(), "")
