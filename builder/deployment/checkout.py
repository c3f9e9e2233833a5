"""The context of a run outside CI, read from the git checkout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.deployment import git
from builder.deployment.context import GIVE_DEPLOYMENT, GIVE_DETAILS, CiContext
from builder.errors import ContextError, ToolError

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
    except ToolError as error:
        what = f"git cannot read what is checked out in `{directory}`"
        detail = error.what if error.detail is None else f"{error.what}: {error.detail}"
        return CiContext(local=True, uncertain=ContextError(what, detail=detail, remedy=GIVE_DEPLOYMENT))
    default = checkout.default_branch
    if default is None and checkout.branch in _USUAL_DEFAULT_BRANCHES:
        default = checkout.branch
    origin, commit = checkout.origin, checkout.commit
    return CiContext(
        provider=origin.provider if origin else None,
        repository=origin.name if origin else None,
        repository_url=origin.url if origin else None,
        commit_hash=commit.hash if commit else None,
        commit=commit,
        branch=checkout.branch,
        default_branch=default,
        base_branch=checkout.default_branch,
        local=True,
        uncertain=_uncertainty(directory, checkout),
    )


def _uncertainty(directory: Path, checkout: git.Checkout) -> ContextError | None:
    if checkout.branch is None:
        return ContextError(f"no branch is checked out in `{directory}` (detached HEAD)", remedy=GIVE_DEPLOYMENT)
    if checkout.commit is None:
        what = f"the branch `{checkout.branch}` in `{directory}` has no commit yet"
        return ContextError(what, remedy=GIVE_DEPLOYMENT)
    return None


def _refuse_pull_request(environ: Mapping[str, str]) -> None:
    for name in _PULL_REQUEST_VARIABLES:
        if environ.get(name, "") not in ("", "false"):
            what = (
                f"this run is for a pull request (`{name}` is set) of a CI provider that the builder cannot read"
            )
            raise ContextError(what, remedy=GIVE_DETAILS)
