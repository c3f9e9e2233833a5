"""Uploading PEX files to the registry, and using deps PEXes that it has already."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.assembly.deps_pex import LAYOUT_VERSION
from builder.building.steps import DepsBuild, write_lock
from builder.delivery.location_run import LocationRun
from builder.delivery.request import Upload
from builder.deployment.cloud import DagsterCloudClient
from builder.errors import BuilderError, CloudError, Notice, PublishError
from builder.publishing.comparison import ReadBack
from builder.publishing.pex_registry import FILES_AT_ONCE, Absent, CachedDeps, PexRegistry, Published
from builder.publishing.remote_zip import DistributionSize
from builder.resolution.lock import Lock
from builder.system.storage import Artefact
from builder.terminal.console import console
from builder.terminal.formatting import counted, size
from builder.terminal.progress import Progress


class Uploader:
    """Brings files into the PEX registry. To be used as a context manager."""

    def __init__(self, cloud: DagsterCloudClient, upload: Upload) -> None:
        self._upload = upload
        self._registry = PexRegistry(cloud.presigned_urls, check=upload.check, timeout=upload.timeout)
        self._recorded: set[str] = set()
        self._recording = threading.Lock()
        self._pool = ThreadPoolExecutor(FILES_AT_ONCE)
        self._lock = threading.Lock()
        self._sent: dict[str, Future[Published | PublishError]] = {}
        self._looked: dict[str, Published | Absent] = {}
        self._sizes: dict[str, int] = {}
        self._progress: Progress | None = None
        self._active = 0
        self._since = self._seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        self._registry.__exit__(kind, error, traceback)

    def find_deps(self, lock: Lock, out_dir: Path) -> DepsBuild | None:
        """The deps PEX that the cache's record of a lock names, if it is in the registry and whole."""
        started = time.monotonic()
        cached = self.record(lock)
        if cached is None:
            return None
        identity = lock.identity(LAYOUT_VERSION)
        if self._upload.read_tag == self._upload.write_tag:
            self._recorded.add(identity)
        console.note(f"  cached: {cached.name} ({size(cached.size)})")
        return DepsBuild(
            name=cached.name,
            size=cached.size,
            sha256=cached.sha256,
            identity=identity,
            artefact=None,
            lock=write_lock(lock, out_dir / cached.name),
            versions=lock.versions,
            dagster_version=cached.dagster_version,
            seconds={"cache": time.monotonic() - started},
        )

    def fetch(self, deps: DepsBuild, directory: Path) -> Path:
        """Download a deps PEX that `find_deps` found; raises PublishError, CloudError or StorageError."""
        content = _cached(deps)
        with (
            console.step(f"downloaded {deps.name}"),
            console.progress("downloading", deps.size) as progress,
        ):
            return self._registry.fetch(content, directory, progress.update)

    def look(self, run: LocationRun) -> None:
        """Check whether the registry has a location's source PEX, while the location is still being verified."""
        if run.build is None:
            return
        source = run.build.source.artefact
        if looked := self._registry.look(source):
            self._looked[source.name] = looked

    def begin(self, artefact: Artefact) -> Future[Published | PublishError]:
        """Upload a file unless the registry has it; several calls for one file upload it once."""
        with self._lock:
            if artefact.name not in self._sent:
                self._sizes[artefact.name] = artefact.size
                self._sent[artefact.name] = self._pool.submit(self._send, artefact)
            return self._sent[artefact.name]

    def _send(self, artefact: Artefact) -> Published | PublishError:
        with self._busy():
            looked = self._looked.get(artefact.name)
            return self._registry.publish([artefact], self._note_progress, looked=looked)[artefact.name]

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """Count the seconds in which anything is being sent."""
        with self._lock:
            if not self._active:
                self._since = time.monotonic()
            self._active += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                if not self._active:
                    self._seconds += time.monotonic() - self._since

    def _note_progress(self, name: str, sent: int) -> None:
        if progress := self._progress:
            progress.update(name, sent)

    @contextlib.contextmanager
    def progress(self) -> Iterator[None]:
        """Show how far the files are that have been begun."""
        with console.progress("uploading", sum(self._sizes.values())) as self._progress:
            yield
        self._progress = None

    def publish(self, run: LocationRun) -> None:
        """Upload a location's files, and write the cache record; a failure becomes the location's error."""
        futures = [self.begin(artefact) for artefact in run.artefacts]
        results = [self._result(run, future) for future in futures]
        for artefact, result in zip(run.artefacts, results, strict=True):
            if isinstance(result, PublishError):
                run.error = run.error or result
            else:
                run.published[artefact.name] = result
        if run.error is None and run.build:
            self._record(run.build.deps)

    @staticmethod
    def _result(run: LocationRun, future: Future[Published | PublishError]) -> Published | PublishError:
        try:
            return future.result()
        except BuilderError as error:
            run.error = run.error or error
            return PublishError(error.what)

    def show_summary(self) -> None:
        """Say what is in the registry now."""
        done = [future.result() for future in self._sent.values() if not future.exception()]
        if text := _published_text(done):
            console.done(text, self._seconds)

    def send_damaged_again(self, runs: Sequence[LocationRun]) -> list[LocationRun]:
        """Compare all bytes of the locations' files with the registry's, and upload files that differ again.

        Returns the locations of such files. One whose deps PEX was not built here has an error that says so.
        """
        artefacts = list({item.name: item for run in runs for item in run.artefacts}.values())
        published: dict[str, Published | PublishError] = {}
        # If they cannot be compared, the load error is more useful.
        with console.progress("comparing with the registry", None), contextlib.suppress(CloudError):
            published = self._registry.publish(artefacts, lambda _name, _sent: None, check=ReadBack.FULL)
        sent = {name for name, item in published.items() if isinstance(item, Published) and item.sent}
        for name in sorted(sent):
            console.note(f"the registry's `{name}` was damaged; it was sent again")
        for run in runs:
            if (
                run.build
                and run.build.deps.artefact is None
                and self._registry.is_damaged(_cached(run.build.deps))
            ):
                run.error = PublishError(
                    f"the registry's `{run.build.deps.name}`, which was not built now, is damaged",
                    remedy="Run it again with --force-rebuild-deps, which builds it and sends it again",
                )
        return [run for run in runs if not sent.isdisjoint(artefact.name for artefact in run.artefacts)]

    def _record(self, deps: DepsBuild) -> None:
        tag = self._upload.write_tag
        if tag is None:
            return
        with self._recording:
            if deps.identity in self._recorded:
                return
            try:
                self._registry.record_deps(deps.identity, tag, _cached(deps))
            except PublishError as error:
                # No reason to fail this run.
                text = f"{error.what}; without this record the next run builds the dependencies again"
                console.notices([Notice(text, is_note=True)])
            self._recorded.add(deps.identity)

    def sizes(self, names: Sequence[str]) -> dict[str, int | None]:
        """How large files of the registry are, in bytes; None for those that are not there. Raises CloudError."""
        return self._registry.sizes(names)

    def record(self, lock: Lock) -> CachedDeps | None:
        """The deps PEX that the cache's record of a lock names, if it is in the registry and whole."""
        tag = self._upload.read_tag
        if tag is None or self._upload.force_rebuild:
            return None
        cached, notices = self._registry.find_deps(lock.identity(LAYOUT_VERSION), tag)
        console.notices(notices)
        return cached

    def versions_before(
        self, pex_tag: str | None, deps: str, versions: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """The versions of the distributions that a location ran with, by project; None if unknown.

        :param pex_tag: what it ran.
        :param deps: the name of a deps PEX whose `versions` are known.
        """
        if self.has(pex_tag, deps):
            return versions
        before = self.distributions_before(pex_tag)
        return None if before is None else {name: dist.version for name, dist in before.items()}

    @staticmethod
    def has(pex_tag: str | None, deps: str) -> bool:
        """Whether a pex tag names this deps PEX."""
        return deps in _deps_names(pex_tag)

    def distributions_before(self, pex_tag: str | None) -> Mapping[str, DistributionSize] | None:
        """What the deps PEX of a pex tag is made of, by project; None if unknown."""
        names = _deps_names(pex_tag)
        return self._registry.distributions(names[0]) if len(names) == 1 else None

    def look_back(self, runs: Sequence[LocationRun]) -> None:
        """Read which distributions the locations ran with before they were updated."""
        for run in runs:
            if run.build and run.before:
                deps = run.build.deps
                run.versions_before = self.versions_before(run.before.pex_tag, deps.name, deps.versions)


def _cached(deps: DepsBuild) -> CachedDeps:
    return CachedDeps(deps.name, deps.size, deps.dagster_version, deps.sha256)


def _deps_names(pex_tag: str | None) -> list[str]:
    """The deps PEXes of `files=deps-….pex:source-….pex`."""
    listed = (pex_tag or "").removeprefix("files=").split(":")
    return [name for name in listed if name.startswith("deps-")]


def _published_text(published: Sequence[Published | PublishError]) -> str:
    """A summary of the uploaded files, for people; failed ones are reported as errors."""
    done = [result for result in published if not isinstance(result, PublishError)]
    sent = [result for result in done if result.sent]
    parts = [f"uploaded {counted(len(sent), 'file')}, {size(sum(result.size for result in sent))}"] if sent else []
    if there := len(done) - len(sent):
        parts.append(f"{counted(there, 'file')} already there")
    return "; ".join(parts)
