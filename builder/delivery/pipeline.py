"""Running each location from build to update, independently of the others.

As soon as it is built a location is verified, and its deps PEX or the layers of its dependencies, whose names are
their content, are sent meanwhile; its source PEX, or the layer of its code and the manifest, are sent once it is
verified, if it was found meanwhile that the registry lacks them. Locations that are ready together are updated in
one request. Locations do not wait for each other; what is said of them is shown in the order of the phases
(`console.during`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

from builder.building.steps import DepsBuild
from builder.delivery.location_run import LocationRun
from builder.delivery.updater import Updater
from builder.delivery.uploader import Uploader
from builder.delivery.verifying import LocationVerifier
from builder.errors import BuilderError
from builder.system import process
from builder.terminal.console import console

TOGETHER_SECONDS: float = 2.0
"""How long locations that are ready wait for the others, to be updated in one request."""

_CHECK_SECONDS: Final = 0.2


class Pipeline:
    """Processes each location after its build; a context manager that ends when all work has ended.

    :param verifier: None if nothing is to be verified.
    :param refresh: refreshes the state of a location's components if that is wanted; returns whether it has.
    :param send_ahead: sends what of an image may be sent before the location is verified, or looks whether the
        source PEX is there.
    :param publish: has the files of a location in the registry, or else gives it an error.
    :param uploader: sends PEX files; None if there are none.
    :param updater: None if nothing is to be updated.
    """

    def __init__(
        self,
        runs: Sequence[LocationRun],
        python_version: str,
        *,
        verifier: LocationVerifier | None,
        refresh: Callable[[LocationRun], bool] = lambda _: False,
        send_ahead: Callable[[LocationRun], None] = lambda _: None,
        publish: Callable[[LocationRun], None],
        uploader: Uploader | None,
        updater: Updater | None,
    ) -> None:
        self._runs = runs
        self._python_version = python_version
        self._verifier = verifier
        self._refresh = refresh
        self._send_ahead = send_ahead
        self._publish = publish
        self._uploader = uploader
        self._updater = updater
        self._pool = ThreadPoolExecutor(2 * len(runs) + 1)
        self._verified: list[Future[None]] = []
        self._uploaded: list[Future[None]] = []
        self._changed = threading.Condition()
        self._settled: set[str] = set()
        self._ready: list[LocationRun] = []
        self._over = False
        self._updating: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._changed:
            # After an error of the builder's own, nothing more is updated.
            self._over = kind is not None
            self._changed.notify_all()
        self._pool.shutdown(cancel_futures=kind is not None)

    def deps_built(self, deps: DepsBuild) -> None:
        """Send a deps PEX."""
        if self._uploader and deps.artefact:
            self._uploader.begin(deps.artefact)

    def built(self, runs: Sequence[LocationRun]) -> None:
        """Take locations on, which are built or have an error."""
        for run in runs:
            if run.error is not None:
                self._settle(run)
                continue
            verified = self._pool.submit(self._verify, run)
            self._verified.append(verified)
            self._uploaded.append(self._pool.submit(self._upload, run, verified))

    def finish(self) -> None:
        """Wait until each location is updated, or has an error; show what is done, phase by phase."""
        if self._verifier:
            with console.phase("Verify"), console.progress("loading the locations", None):
                _wait(self._verified)
        # What is not verified may have been refreshed.
        _wait(self._verified)
        if any(run.states for run in self._runs):
            with console.phase("State"):
                pass
        with console.phase("Upload"):
            with self._uploader.progress() if self._uploader else contextlib.nullcontext():
                _wait(self._uploaded)
            if self._uploader:
                self._uploader.show_summary()
        if self._updating:
            with console.phase("Update"):
                self._updating.result()

    def _verify(self, run: LocationRun) -> None:
        self._load(run)
        with console.during("State"):
            refreshed = self._refresh(run)
        if refreshed and run.error is None:
            self._load(run)

    def _load(self, run: LocationRun) -> None:
        if self._verifier:
            with console.during("Verify"):
                self._verifier.verify(run)

    def _upload(self, run: LocationRun, verified: Future[None]) -> None:
        try:
            with console.during("Upload"):
                failed = _error_of(self._send_ahead, run)
                verified.result()
                run.error = run.error or failed
                if run.error is None:
                    self._publish(run)
        finally:
            self._settle(run)

    def _settle(self, run: LocationRun) -> None:
        """Note that a location is ready to be updated, or never will be."""
        with self._changed:
            self._settled.add(run.name)
            if run.error is None:
                self._ready.append(run)
                if self._updater and self._updating is None:
                    self._updating = self._pool.submit(self._update, self._updater)
            self._changed.notify_all()

    def _update(self, updater: Updater) -> None:
        """Update locations as they get ready, until all are settled."""
        while runs := self._next():
            with console.during("Update"):
                updater.update(runs, self._python_version)

    def _next(self) -> list[LocationRun]:
        """Those that are to be updated next; none if there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._ready) or self._done)
            until = time.monotonic() + TOGETHER_SECONDS
            while not self._done and time.monotonic() < until:
                self._changed.wait(_CHECK_SECONDS)
            runs = [run for run in self._runs if run in self._ready]
            self._ready.clear()
            return [] if self._over or process.stopping.is_set() else runs

    @property
    def _done(self) -> bool:
        return self._over or process.stopping.is_set() or len(self._settled) == len(self._runs)


def _error_of(work: Callable[[LocationRun], None], run: LocationRun) -> BuilderError | None:
    """Do some work on a location; what went wrong, which is not its error yet."""
    try:
        work(run)
    except BuilderError as error:
        return error
    return None


def _wait(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.result()
