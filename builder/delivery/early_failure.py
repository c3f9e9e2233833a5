"""Reporting to GitHub Actions a run that fails before its locations are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.delivery.announcement import Announcement
from builder.deployment.context import CiContext
from builder.deployment.destination import read_context
from builder.deployment.pull_request_comment import comment_of_run
from builder.errors import BuilderError


def announce_early_failure(
    workspace: Path, error: BuilderError, environ: Mapping[str, str], *, deploys: bool
) -> None:
    """Write the error into the job's summary and, of a run that deploys, into the pull request's comment."""
    # The comment of a later run, which knows the file, takes the place of this one's.
    file = workspace.absolute() / "dagster_cloud.yaml" if workspace.is_dir() else workspace.absolute()
    context = CiContext()
    if deploys:
        try:
            context = read_context(file.parent, environ)
        except BuilderError:
            # It is the error, or comes on top of it: the summary has to do.
            deploys = False
    comment = comment_of_run(file, context, environ) if deploys else None
    Announcement(environ, context, context.commit_hash, comment).fail(file, error)
