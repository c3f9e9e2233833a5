"""What a run knows about the code that it deploys: repository, branch, commit, pull request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from builder.errors import ContextError, Notice

Provider = Literal["github", "gitlab"]
Status = Literal["OPEN", "CLOSED", "MERGED"]

_DETAILS = "`--code-location-details deployment=NAME,commit_hash=HASH`"
GIVE_DETAILS = f"Name the deployment with {_DETAILS}"
GIVE_DEPLOYMENT = f"Name the full deployment with `--deployment NAME`, or any deployment with {_DETAILS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as Dagster Cloud shows it.

    :param timestamp: seconds since 1970.
    :param message: its first paragraph, or what stands for it where the commit itself cannot be read.
    """

    hash: str
    timestamp: float
    message: str | None = None
    author_name: str | None = None
    author_email: str | None = None
    url: str | None = None
    avatar_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request, or GitLab's merge request; `branch` is the one that it asks to merge."""

    number: str
    url: str
    status: Status
    branch: str
    branch_url: str | None

    @property
    def label(self) -> str:
        """What its host calls it."""
        return (
            f"merge request !{self.number}" if "/-/merge_requests/" in self.url else f"pull request #{self.number}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CiContext:
    """Where the code comes from, as far as it is known for certain.

    :param repository: "owner/name"; GitLab's owners nest ("group/subgroup/name").
    :param repository_url: where a browser finds it, without credentials.
    :param commit_hash: of what is deployed; of a pull request the head, never GitHub's or GitLab's merge commit.
    :param commit: what is known of that commit; always there for a pull request.
    :param branch: None for tags and wherever `uncertain` is set.
    :param default_branch: the repository's, None if unknown.
    :param base_branch: what pull requests from here ask to be merged into.
    :param run_url: of the CI run.
    :param local: the branch comes from a checkout alone, no CI provider says more.
    :param uncertain: why it is not known whether this is production code; only an explicit deployment settles it.
    """

    provider: Provider | None = None
    repository: str | None = None
    repository_url: str | None = None
    commit_hash: str | None = None
    commit: Commit | None = None
    branch: str | None = None
    default_branch: str | None = None
    base_branch: str | None = None
    pull_request: PullRequest | None = None
    run_url: str | None = None
    local: bool = False
    uncertain: ContextError | None = None
    notices: tuple[Notice, ...] = ()

    def tree_url(self, revision: str) -> str | None:
        """Where a browser finds the files of a branch or commit; None if the provider is unknown."""
        return tree_url(self.provider, self.repository_url, revision)


def tree_url(provider: Provider | None, repository_url: str | None, revision: str) -> str | None:
    """Where a browser finds the files of a branch or commit in a repository; None if that is unknown."""
    if provider is None or repository_url is None:
        return None
    return f"{repository_url}{_infix(provider)}/tree/{quote(revision)}"


def commit_url(provider: Provider | None, repository_url: str | None, commit_hash: str) -> str | None:
    """Where a browser finds what a commit changed; None if that is unknown."""
    if provider is None or repository_url is None:
        return None
    return f"{repository_url}{_infix(provider)}/commit/{commit_hash}"


def line_url(
    provider: Provider | None, repository_url: str | None, commit_hash: str, path: str, line: int | None
) -> str | None:
    """Where a browser finds a line of a file as a commit has it; None if that is unknown.

    :param path: relative to the repository.
    """
    if provider is None or repository_url is None:
        return None
    place = f"#L{line}" if line else ""
    return f"{repository_url}{_infix(provider)}/blob/{commit_hash}/{quote(path)}{place}"


def _infix(provider: Provider) -> str:
    return "/-" if provider == "gitlab" else ""
