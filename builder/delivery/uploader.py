"""Uploading PEX files to the registry, and using deps PEXes that it has already."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.assembly.deps_pex import LAYOUT_VERSION
from builder.building.steps import DepsBuild, write_lock
from builder.delivery.location_run import LocationRun, Upload, run_or_mark_failed
from builder.deployment.cloud import DagsterCloudClient
from builder.errors import CloudError, Notice, PublishError
from builder.publishing.pex_registry import CachedDeps, PexRegistry, Published, ReadBack
from builder.publishing.remote_zip import DistributionSize
from builder.resolution.lock import Lock
from builder.terminal.console import console
from builder.terminal.formatting import counted, size


class Uploader:
    """Brings files into the PEX registry. To be used as a context manager."""

    def __init__(self, cloud: DagsterCloudClient, upload: Upload) -> None:
        self._upload = upload
        self._registry = PexRegistry(cloud.presigned_urls, check=upload.check, timeout=upload.timeout)
        self._recorded: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
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

    def publish(self, runs: Sequence[LocationRun]) -> None:
        """Upload what was built, check it, and write the cache's records; a failure is that of its locations."""
        artefacts = {artefact.name: artefact for run in runs for artefact in run.artefacts}
        if not artefacts:
            return
        started = time.monotonic()
        with console.progress("uploading", sum(artefact.size for artefact in artefacts.values())) as progress:
            published: dict[str, Published | PublishError] = run_or_mark_failed(
                runs, lambda: self._registry.publish(list(artefacts.values()), progress.update), {}
            )
        if said := _published_text(published):
            console.done(said, time.monotonic() - started)
        for run in runs:
            for artefact in run.artefacts:
                result = published.get(artefact.name)
                if isinstance(result, PublishError):
                    run.error = run.error or result
                elif result is not None:
                    run.published[artefact.name] = result
        self._record([run for run in runs if run.error is None])

    def send_damaged_again(self, runs: Sequence[LocationRun]) -> list[LocationRun]:
        """Compare all bytes of what locations run from with the registry's; send again what differs, and say so.

        Returns the locations of such files. One whose deps PEX was not built here has an error that says so.
        """
        artefacts = list({each.name: each for run in runs for each in run.artefacts}.values())
        published: dict[str, Published | PublishError] = {}
        # If they cannot be compared, the load error is more useful.
        with console.progress("comparing with the registry", None), contextlib.suppress(CloudError):
            published = self._registry.publish(artefacts, lambda _name, _sent: None, check=ReadBack.FULL)
        sent = {name for name, each in published.items() if isinstance(each, Published) and each.sent}
        for name in sorted(sent):
            console.notices([Notice(f"the registry's `{name}` was damaged; it was sent again")])
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

    def _record(self, runs: Sequence[LocationRun]) -> None:
        tag = self._upload.write_tag
        if tag is None:
            return
        deps = {run.build.deps.identity: run.build.deps for run in runs if run.build}
        for identity, build in deps.items():
            if identity in self._recorded:
                continue
            try:
                self._registry.record_deps(identity, tag, _cached(build))
            except PublishError as error:
                # Without a record the next run builds the deps PEX again: no reason to fail this run.
                console.notices([Notice(error.what)])
            self._recorded.add(identity)

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


def _published_text(published: Mapping[str, Published | PublishError]) -> str:
    """A summary of the uploaded files, for people; failed ones are reported as errors."""
    done = [result for result in published.values() if not isinstance(result, PublishError)]
    sent = [result for result in done if result.sent]
    parts = [f"uploaded {counted(len(sent), 'file')}, {size(sum(result.size for result in sent))}"] if sent else []
    if there := len(done) - len(sent):
        parts.append(f"{counted(there, 'file')} already there")
    return "; ".join(parts)
