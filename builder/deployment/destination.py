"""Where code is deployed to: a full deployment, or the branch deployment of a pull request. Never a guess."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.deployment.checkout import checkout_context
from builder.deployment.context import GIVE_DEPLOYMENT, CiContext, Commit, Provider, PullRequest, Status
from builder.deployment.github import github_context, is_github
from builder.deployment.gitlab import gitlab_context, is_gitlab
from builder.errors import ContextError, Notice, UsageError, without_credentials
from builder.terminal.formatting import quoted

DEFAULT_DEPLOYMENT = "prod"

_EXAMPLE = "`--code-location-details deployment=prod,commit_hash=1a2b3c4`"
_DETAILS = ("deployment", "commit_hash", "git_url")


@dataclass(frozen=True, slots=True)
class Details:
    """The value of `--code-location-details`."""

    deployment: str
    commit_hash: str | None
    git_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitMetadata:
    """What a location document says under `git`; None is left out there.

    :param url: where a browser finds the files of the commit.
    """

    commit_hash: str | None = None
    url: str | None = None
    provider: Provider | None = None
    repo_owner: str | None = None
    repo_name: str | None = None
    base_branch: str | None = None


@dataclass(frozen=True, slots=True)
class FullDeployment:
    """A deployment that exists under this name."""

    name: str
    git: GitMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchDeployment:
    """The deployment of a branch, which Dagster Cloud finds or makes by repository and branch.

    :param repository: "owner/name".
    :param pull_request: None for a branch that is deployed from a local checkout.
    :param status: of the pull request. Unless it is OPEN there is nothing to deploy: only the status is sent.
    :param base_deployment: which deployment it branches off; None leaves that to Dagster Cloud.
    """

    repository: str
    branch: str
    branch_url: str | None
    commit: Commit
    pull_request: PullRequest | None
    status: Status
    base_deployment: str | None
    git: GitMetadata

    @property
    def label(self) -> str:
        """What people call it: its own name is only an id."""
        request = f" ({self.pull_request.label})" if self.pull_request else ""
        return f"the branch deployment of `{self.branch}`{request}"


@dataclass(frozen=True, slots=True)
class ResolvedDestination:
    """A destination, what it was chosen from, and its warnings."""

    destination: FullDeployment | BranchDeployment
    context: CiContext
    notices: tuple[Notice, ...] = ()


def find_destination(
    directory: Path, environ: Mapping[str, str], *, deployment: str | None, details: Details | None
) -> ResolvedDestination:
    """Where the code in `directory` is to be deployed; see `choose_destination` for what it raises.

    With `details` a context that cannot be read is no failure: they say all that is needed.
    """
    try:
        context = read_context(directory, environ)
    except ContextError:
        if details is None:
            raise
        context = CiContext()
    return choose_destination(context, deployment=deployment, details=details)


def read_context(directory: Path, environ: Mapping[str, str]) -> CiContext:
    """What the CI provider, or else the checkout around `directory`, says about the code.

    Raises ContextError if this may be a pull request that cannot be read for certain.
    """
    if is_github(environ):
        return github_context(directory, environ)
    if is_gitlab(environ):
        return gitlab_context(directory, environ)
    return checkout_context(directory, environ)


def choose_destination(
    context: CiContext, *, deployment: str | None, details: Details | None
) -> ResolvedDestination:
    """Choose by `details`, else by the pull request, else by `deployment`, else by the branch.

    `deployment` (only if it was given explicitly) is the base of a pull request's branch deployment. Raises
    UsageError if it is empty, ContextError if nothing says for certain where the code belongs.
    """
    if deployment is not None and not deployment.strip():
        raise UsageError("`--deployment` is given, but empty", remedy="Name a deployment, or leave the option out")
    if details is not None:
        return _detailed(context, deployment, details)
    git = _git_metadata(context)
    if context.pull_request is not None:
        return ResolvedDestination(_branch_deployment(context, git, base=deployment), context, context.notices)
    if deployment is not None:
        return ResolvedDestination(FullDeployment(deployment, git), context)
    if context.uncertain is not None:
        raise context.uncertain
    other_branch = context.branch is not None and context.branch != context.default_branch
    if context.local and other_branch:
        return ResolvedDestination(_branch_deployment(context, git, base=None), context)
    notices: tuple[Notice, ...] = ()
    if other_branch:
        default = f"`{context.default_branch}`" if context.default_branch else "unknown"
        text = (
            f"a push to `{context.branch}` is deployed to `{DEFAULT_DEPLOYMENT}`, although the default branch is"
            f" {default}; `--deployment NAME` would deploy it elsewhere"
        )
        notices = (Notice(text),)
    return ResolvedDestination(FullDeployment(DEFAULT_DEPLOYMENT, git), context, notices)


def existing_deployment(name: str, names: Sequence[str], *, branches: bool) -> str:
    """The name of a full deployment, or one that only a branch deployment can have; raises ContextError.

    :param names: of the full deployments.
    :param branches: whether it may be a branch deployment.
    """
    if name in names or not names or (branches and _is_hexadecimal(name)):
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or sorted(names)
    other = "; or give the id of a branch deployment, as in its address" if branches else ""
    raise ContextError(
        f"there is no {'' if branches else 'full '}deployment `{name}`",
        remedy=f"Choose from: {', '.join(near)}{other}",
    )


def _is_hexadecimal(name: str) -> bool:
    # Ids are long; there are words like `dead` and `facade`.
    return re.fullmatch(r"[0-9a-f]{8,}", name) is not None


def parse_details(text: str) -> Details:
    """Read `deployment=NAME[,commit_hash=HASH][,git_url=URL]`; raises UsageError with an example."""
    values: dict[str, str] = {}
    if not text.strip():
        raise UsageError(
            "`--code-location-details` is given, but empty",
            remedy=f"Write it as in {_EXAMPLE}, or leave the option out",
        )
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if name not in _DETAILS:
            raise _wrong_details(f"`{part}`: there is only " + quoted(f"{known}=" for known in _DETAILS))
        if name in values:
            raise _wrong_details(f"`{name}` is given twice")
        if not (separator and value):
            raise _wrong_details(f"`{name}` has no value")
        values[name] = value
    if "deployment" not in values:
        raise _wrong_details("`deployment` is missing")
    url = values.get("git_url")
    return Details(values["deployment"], values.get("commit_hash"), without_credentials(url) if url else None)


def _wrong_details(problem: str) -> UsageError:
    return UsageError(f"`--code-location-details`: {problem}", remedy=f"Write it as in {_EXAMPLE}")


def _detailed(context: CiContext, deployment: str | None, details: Details) -> ResolvedDestination:
    commit_hash = details.commit_hash or context.commit_hash
    # An invented hash has no page.
    known = commit_hash is not None and commit_hash == context.commit_hash
    url = details.git_url or (context.tree_url(commit_hash) if known and commit_hash else None)
    notices: tuple[Notice, ...] = ()
    if deployment not in (None, details.deployment):
        text = (
            f"`--deployment {deployment}` has no effect, as `--code-location-details` names"
            f" `{details.deployment}`: give one of them"
        )
        notices = (Notice(text),)
    return ResolvedDestination(
        FullDeployment(details.deployment, _git_metadata(context, commit_hash, url)), context, notices
    )


def _git_metadata(context: CiContext, commit_hash: str | None = None, url: str | None = None) -> GitMetadata:
    if commit_hash is None and context.commit_hash is not None:
        commit_hash, url = context.commit_hash, context.tree_url(context.commit_hash)
    owner, _, name = (context.repository or "").rpartition("/")
    return GitMetadata(
        commit_hash=commit_hash,
        url=url,
        provider=context.provider,
        repo_owner=owner or None,
        repo_name=name or None,
        base_branch=context.base_branch,
    )


def _branch_deployment(context: CiContext, git: GitMetadata, *, base: str | None) -> BranchDeployment:
    request = context.pull_request
    if context.branch is None or context.commit is None:
        raise ContextError("neither the branch nor the commit of this code is known", remedy=GIVE_DEPLOYMENT)
    if context.repository is None:
        what = f"the branch `{context.branch}` needs a repository to name its branch deployment: `origin` has none"
        raise ContextError(what, remedy=GIVE_DEPLOYMENT)
    return BranchDeployment(
        repository=context.repository,
        branch=context.branch,
        branch_url=request.branch_url if request else context.tree_url(context.branch),
        commit=context.commit,
        pull_request=request,
        status=request.status if request else "OPEN",
        base_deployment=base,
        git=git,
    )
