"""Reporting a run to GitHub: the job summary, the outputs, and the comment on the pull request."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from builder.delivery.location_run import LocationRun
from builder.deployment.context import CiContext, commit_url, line_url
from builder.deployment.dependency_changes import dependency_changes
from builder.deployment.summary import (
    LocationSummary,
    RunSummary,
    State,
    comment_body,
    job_summary,
)
from builder.errors import BuilderError, Interrupted, Notice, Origin
from builder.terminal import github_log as github_output
from builder.terminal.console import console
from builder.terminal.formatting import near
from builder.terminal.running import defect, on_interrupt

if TYPE_CHECKING:
    from builder.delivery.updater import Updater
    from builder.deployment.pull_request_comment import PullRequestComment


_NOWHERE: Final = CiContext()
"""The context of a run that updates nothing."""


class Announcement:
    """What GitHub Actions shows of a run; elsewhere it does nothing.

    :param context: where the code comes from.
    :param commit_hash: of the code; None if it is not known, or nothing is updated.
    :param comment: on the pull request; None if there is none to write.
    :ivar updater: knows the deployment; None until it exists.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        context: CiContext = _NOWHERE,
        commit_hash: str | None = None,
        comment: PullRequestComment | None = None,
    ) -> None:
        self._context = context
        self._commit = commit_hash
        self._environ = environ
        self._comment = comment
        self._ending = threading.Lock()
        self._ended = False
        self.updater: Updater | None = None

    def fail(self, workspace: Path, error: BuilderError) -> None:
        """Report a run that failed before its locations were known."""
        text = near(_words(error.what, error.detail, error.remedy))
        location = LocationSummary(
            name=workspace.name,
            state="failed",
            error=text,
            error_where=self._place(error.where),
            error_url=self._line_url(error.where),
        )
        outcome = replace(self._outcome(()), locations=(location,))
        self._tell(outcome)
        if summary := self._environ.get("GITHUB_STEP_SUMMARY"):
            _notice(github_output.append_summary(Path(summary), job_summary(outcome)))

    def begin(self, runs: Sequence[LocationRun]) -> None:
        """Report that the run has started."""
        self._tell(self._outcome(runs))

    def end(self, runs: Sequence[LocationRun], build_json: Path, *, stopped: bool = False) -> None:
        """Report how the run ended; only the first call does so, later ones wait for it."""
        with self._ending:
            if not self._ended:
                self._ended = True
                self._end(self._outcome(runs, stopped=stopped), runs, build_json)

    def _end(self, outcome: RunSummary, runs: Sequence[LocationRun], build_json: Path) -> None:
        self._tell(outcome)
        if summary := self._environ.get("GITHUB_STEP_SUMMARY"):
            _notice(github_output.append_summary(Path(summary), job_summary(outcome)))
        if outputs := self._environ.get("GITHUB_OUTPUT"):
            # A later step must not run what failed.
            built = [run for run in runs if run.build and run.error is None]
            tags = [run.version for run in built if run.format == "pex" and run.version]
            images = [run.version for run in built if run.format == "image" and run.version]
            values = {
                "deployment": outcome.deployment or "",
                "pex-tag": "\n".join(tags),
                "image": "\n".join(images),
                "build-json": str(build_json) if build_json.exists() else "",
            }
            _notice(github_output.write_outputs(Path(outputs), values))

    def _tell(self, outcome: RunSummary) -> None:
        if self._comment:
            _notice(self._comment.update(comment_body(outcome)))

    def _outcome(self, runs: Sequence[LocationRun], *, stopped: bool = False) -> RunSummary:
        page = self.updater.page if self.updater else None
        request = self._context.pull_request
        return RunSummary(
            deployment=self.updater.deployment if self.updater else None,
            branch=self.updater.branch if self.updater else None,
            pull_request=request.number if request else None,
            pull_request_url=request.url if request else None,
            deployment_url=page,
            commit_hash=self._commit,
            commit_url=self._commit
            and commit_url(self._context.provider, self._context.repository_url, self._commit),
            run_url=self._context.run_url,
            locations=tuple(self._location(run, page, stopped=stopped) for run in runs),
        )

    def _location(self, run: LocationRun, page: str | None, *, stopped: bool) -> LocationSummary:
        where = run.error.where if run.error else None
        return replace(
            _outcome(run, page, stopped=stopped), error_where=self._place(where), error_url=self._line_url(where)
        )

    def _place(self, where: Origin | None) -> str | None:
        """A file and line as the reader knows it: relative to the checkout."""
        if where is None:
            return None
        path = self._in_checkout(where.path)
        return str(where if path is None else replace(where, path=Path(path)))

    def _line_url(self, where: Origin | None) -> str | None:
        """Where the repository shows a line of the commit; None if that is unknown."""
        path = self._in_checkout(where.path) if where else None
        context = self._context
        if where is None or path is None or self._commit is None:
            return None
        return line_url(context.provider, context.repository_url, self._commit, path, where.line)

    def _in_checkout(self, path: Path) -> str | None:
        checkout = self._environ.get("GITHUB_WORKSPACE")
        real = os.path.realpath(path)
        if checkout and Path(real).is_relative_to(os.path.realpath(checkout)):
            return os.path.relpath(real, os.path.realpath(checkout))
        return None


def _outcome(run: LocationRun, page: str | None, *, stopped: bool) -> LocationSummary:
    build, error = run.build, run.error
    before = run.versions_before
    return LocationSummary(
        name=run.name,
        state=state(run, stopped=stopped),
        url=f"{page}/{quote(run.name, safe='')}" if page and (run.updated or run.unchanged) else None,
        version=run.version,
        deps_size=build.deps.size if build else None,
        source_size=build.source.artefact.size if build else None,
        sent_bytes=sum(published.size for published in run.published.values() if published.sent)
        if run.published
        else None,
        seconds=run.seconds,
        error=near(_words(error.what, error.detail, error.remedy)) if error else None,
        changes=dependency_changes(before, build.deps.versions) if before is not None and build else None,
    )


def state(run: LocationRun, *, stopped: bool = False) -> State:
    """How far the work on a location has come, in one word."""
    states: tuple[tuple[object, State], ...] = (
        (run.error, "failed"),
        (run.loaded, "ready"),
        (run.unchanged, "unchanged"),
        (stopped, "stopped"),
        (run.updated, "updated"),
        (run.published, "uploaded"),
        (run.build, "built"),
    )
    return next((name for reached, name in states if reached), "building")


def _notice(notice: Notice | None) -> None:
    if notice:
        console.notices([notice])


def _words(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)


@contextlib.contextmanager
def announced(announcement: Announcement | None, runs: Sequence[LocationRun], build_json: Path) -> Iterator[None]:
    """Announce the work of the body, and how it ended, whichever way that was."""
    if announcement is None:
        yield
        return

    def end(*, stopped: bool) -> None:
        announcement.end(runs, build_json, stopped=stopped)

    def fail(error: BuilderError) -> None:
        for run in runs:
            if not run.loaded:
                run.error = run.error or error

    with on_interrupt(lambda: end(stopped=True)):
        try:
            announcement.begin(runs)
            yield
        except Interrupted:
            end(stopped=True)
            raise
        except BuilderError as error:
            fail(error)
            raise
        except Exception as error:
            fail(defect(error))
            raise
        finally:
            end(stopped=False)
