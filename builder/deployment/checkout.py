"""The context of a run outside CI, read from the git checkout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.deployment import git
from builder.deployment.context import GIVE_DEPLOYMENT, GIVE_DETAILS, CiContext
from builder.errors import ContextError, ToolError
from builder.system.git import roots_of

# Of providers that are read no further: the branch of a pull request may be a fork's `main`, the code a merge.
_PULL_REQUEST_VARIABLES = (
    "BITBUCKET_PR_ID",
    "BUILDKITE_PULL_REQUEST",
    "CHANGE_ID",  # Jenkins
    "CIRCLE_PULL_REQUEST",
    "DRONE_PULL_REQUEST",
    "SYSTEM_PULLREQUEST_PULLREQUESTID",  # Azure Pipelines
    "TRAVIS_PULL_REQUEST",
)

_USUAL_DEFAULT_BRANCHES = ("main", "master")


def checkout_context(directory: Path, environ: Mapping[str, str]) -> CiContext:
    """Read what git knows about `directory`; where that does not settle it, `uncertain` says why.

    Raises ContextError on a pull request of a CI provider other than those that have a module of their own.
    """
    _refuse_pull_request(environ)
    try:
        checkout = git.read_checkout(directory)
        contradiction = _contradiction(directory, checkout)
    except ToolError as error:
        what = f"git cannot read what is checked out in `{directory}`"
        detail = error.what if error.detail is None else f"{error.what}: {error.detail}"
        return CiContext(local=True, uncertain=ContextError(what, detail=detail, remedy=GIVE_DEPLOYMENT))
    origin, commit = checkout.origin, checkout.commit
    return CiContext(
        provider=origin.provider if origin else None,
        repository=origin.name if origin else None,
        repository_url=origin.url if origin else None,
        commit_hash=commit.hash if commit else None,
        commit=commit,
        branch=checkout.branch,
        default_branch=_default_branch(checkout),
        base_branch=checkout.default_branch,
        local=True,
        uncertain=_uncertainty(directory, checkout) or contradiction,
    )


def _default_branch(checkout: git.Checkout) -> str | None:
    if checkout.default_branch is None and checkout.branch in _USUAL_DEFAULT_BRANCHES:
        return checkout.branch
    return checkout.default_branch


def _uncertainty(directory: Path, checkout: git.Checkout) -> ContextError | None:
    if checkout.branch is None:
        return ContextError(f"no branch is checked out in `{directory}` (detached HEAD)", remedy=GIVE_DEPLOYMENT)
    if checkout.commit is None:
        what = f"the branch `{checkout.branch}` in `{directory}` has no commit yet"
        return ContextError(what, remedy=GIVE_DEPLOYMENT)
    return None


def _contradiction(directory: Path, checkout: git.Checkout) -> ContextError | None:
    """Where code goes is not for a submodule or a symlink to say, which a commit can add; raises ToolError."""
    nearest, *others = roots_of(directory)
    for root in others:
        other = git.read_checkout(root)
        if _belongs(other) != _belongs(checkout):
            return ContextError(
                f"it is not certain where the code in `{directory}` belongs: it is in `{nearest}`, where"
                f" {_described(checkout)}, and in `{root}`, where {_described(other)}",
                remedy=GIVE_DEPLOYMENT,
            )
    return None


def _belongs(checkout: git.Checkout) -> object:
    """Equal for checkouts that are deployed to the same place."""
    if checkout.branch and checkout.branch == _default_branch(checkout):
        return "production"
    return checkout.branch, checkout.origin and checkout.origin.name


def _described(checkout: git.Checkout) -> str:
    of = f" of `{checkout.origin.name}`" if checkout.origin else ""
    return f"the branch `{checkout.branch}`{of} is checked out" if checkout.branch else "HEAD is detached"


def _refuse_pull_request(environ: Mapping[str, str]) -> None:
    for name in _PULL_REQUEST_VARIABLES:
        if environ.get(name, "") not in ("", "false"):
            what = (
                f"this run is for a pull request (`{name}` is set) of a CI provider that the builder cannot read"
            )
            raise ContextError(what, remedy=GIVE_DETAILS)
