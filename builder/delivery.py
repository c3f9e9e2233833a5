"""Delivering what was built: into the PEX registry, and from there into a deployment of Dagster Cloud.

Forward only: everything that a location needs is uploaded and read back before the record of the cache is written,
and that before the location is updated. Locations do not wait for each other: one that fails stays as it was.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from builder.console import console
from builder.errors import BuilderError, CloudError, ContextError, LoadError, Notice, PublishError
from builder.steps import DepsBuild, write_lock
from builder.words import size

if TYPE_CHECKING:
    from builder.deployment.cloud import Cloud
    from builder.deployment.destination import BranchDeployment, Choice
    from builder.deployment.entries import Entry
    from builder.project.location import Location
    from builder.publishing.pex_registry import CachedDeps, Check, Published
    from builder.resolution.lock import Lock
    from builder.storage import Artefact
    from builder.verification.load import Definitions
    from builder.workspace_build import ProjectBuild

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Upload:
    """How PEX files are to be uploaded.

    :param check: how what was uploaded is read back.
    :param timeout: seconds that each file may take in all.
    :param read_tag: of the cache's records that may spare building a deps PEX; None for none.
    :param write_tag: of the records to write.
    :param force_rebuild: take no record for true.
    """

    check: Check
    timeout: float
    read_tag: str | None = None
    write_tag: str | None = None
    force_rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What is to be updated.

    :param choice: the deployment, and what it was chosen from.
    :param wait: seconds to wait until the locations are loaded; None not to wait.
    """

    choice: Choice
    wait: float | None

    @property
    def variables(self) -> dict[str, str]:
        """What the server will tell the code about itself, by the names of environment variables."""
        from builder.deployment.destination import BranchDeployment  # noqa: PLC0415  (start-up time)

        destination = self.choice.destination
        branch = destination if isinstance(destination, BranchDeployment) else None
        found = {
            # The server names branch deployments itself.
            "DAGSTER_CLOUD_DEPLOYMENT_NAME": (
                destination.branch if isinstance(destination, BranchDeployment) else destination.name
            ),
            "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1" if branch else "0",
            "DAGSTER_CLOUD_GIT_SHA": destination.git.commit_hash,
            "DAGSTER_CLOUD_GIT_URL": destination.git.url,
            "DAGSTER_CLOUD_GIT_BRANCH": branch.branch if branch else None,
            "DAGSTER_CLOUD_GIT_REPO": branch.repository if branch else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def closed(self) -> BranchDeployment | None:
        """That of a pull request that was closed or merged, so that there is nothing to deploy."""
        from builder.deployment.destination import BranchDeployment  # noqa: PLC0415  (start-up time)

        destination = self.choice.destination
        return destination if isinstance(destination, BranchDeployment) and destination.status != "OPEN" else None


@dataclass(slots=True)
class LocationRun:
    """How far the work on one location has come.

    :param build: what was built for it; None until then, or if that failed.
    :param error: why it goes no further.
    :param verified: what it defines; None if that is not known.
    :param published: its files in the registry, by name.
    :param updated: Dagster Cloud has been told to run it.
    :param loaded: Dagster Cloud runs it.
    :param before: what the deployment held of this location until now.
    :param versions_before: of the distributions that it ran with; None if nobody knows.
    :param seconds: since the start of the run, when it was over.
    """

    location: Location
    build: ProjectBuild | None = None
    error: BuilderError | None = None
    verified: Definitions | None = None
    published: dict[str, Published] = field(default_factory=dict)
    updated: bool = False
    loaded: bool = False
    before: Entry | None = None
    versions_before: Mapping[str, str] | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """The location's name."""
        return self.location.name

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """The files that were built here."""
        if self.build is None:
            return ()
        deps, source = self.build.deps.artefact, self.build.source.artefact
        return (deps, source) if deps else (source,)


class Uploader:
    """Brings files into the PEX registry. To be used as a context manager."""

    def __init__(self, cloud: Cloud, upload: Upload) -> None:
        from builder.publishing.pex_registry import PexRegistry  # noqa: PLC0415  (start-up time)

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
        from builder.assembly.deps_pex import LAYOUT_VERSION  # noqa: PLC0415  (start-up time)

        started = time.monotonic()
        found = self.record(lock)
        if found is None:
            return None
        identity = lock.identity(LAYOUT_VERSION)
        if self._upload.read_tag == self._upload.write_tag:
            self._recorded.add(identity)
        console.note(f"  cached: {found.name} ({size(found.size)})")
        return DepsBuild(
            found.name,
            found.size,
            found.sha256,
            identity,
            None,
            write_lock(lock, out_dir / found.name),
            lock.versions,
            found.dagster_version,
            {"cache": time.monotonic() - started},
        )

    def fetch(self, deps: DepsBuild, directory: Path) -> Path:
        """Download a deps PEX that `find_deps` found; raises PublishError, CloudError or StorageError."""
        from builder.publishing.pex_registry import CachedDeps  # noqa: PLC0415  (start-up time)

        content = CachedDeps(deps.name, deps.size, deps.dagster_version, deps.sha256)
        with (
            console.step(f"downloaded {deps.name}"),
            console.progress("downloading", deps.size) as progress,
        ):
            return self._registry.fetch(content, directory, progress.update)

    def publish(self, runs: Sequence[LocationRun]) -> None:
        """Upload what was built, check it, and write the cache's records; a failure is that of its locations."""
        artefacts = {each.name: each for run in runs for each in run.artefacts}
        if not artefacts:
            return
        started = time.monotonic()
        with console.progress("uploading", sum(artefact.size for artefact in artefacts.values())) as progress:
            published: dict[str, Published | PublishError] = _attempt(
                runs, lambda: self._registry.publish(list(artefacts.values()), progress.update), {}
            )
        if said := _said(published):
            console.done(said, time.monotonic() - started)
        for run in runs:
            for artefact in run.artefacts:
                found = published.get(artefact.name)
                if isinstance(found, PublishError):
                    run.error = run.error or found
                elif found is not None:
                    run.published[artefact.name] = found
        self._record(_unfailed(runs))

    def _record(self, runs: Sequence[LocationRun]) -> None:
        from builder.publishing.pex_registry import CachedDeps  # noqa: PLC0415  (start-up time)

        tag = self._upload.write_tag
        if tag is None:
            return
        deps = {run.build.deps.identity: run.build.deps for run in runs if run.build}
        for identity, each in deps.items():
            if identity in self._recorded:
                continue
            content = CachedDeps(each.name, each.size, each.dagster_version, each.sha256)
            sharing = [run for run in runs if run.build and run.build.deps.identity == identity]
            _attempt(sharing, lambda: self._registry.record_deps(identity, tag, content), None)  # noqa: B023
            self._recorded.add(identity)

    def sizes(self, names: Sequence[str]) -> dict[str, int | None]:
        """How large files of the registry are, in bytes; None for those that are not there. Raises CloudError."""
        return self._registry.sizes(names)

    def record(self, lock: Lock) -> CachedDeps | None:
        """The deps PEX that the cache's record of a lock names, if it is in the registry and whole."""
        from builder.assembly.deps_pex import LAYOUT_VERSION  # noqa: PLC0415  (start-up time)

        tag = self._upload.read_tag
        if tag is None or self._upload.force_rebuild:
            return None
        found, notices = self._registry.find_deps(lock.identity(LAYOUT_VERSION), tag)
        console.notices(notices)
        return found

    def versions_before(
        self, pex_tag: str | None, deps: str, versions: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        """The versions of the distributions that a location ran with, by project; None if nobody knows.

        :param pex_tag: what it ran.
        :param deps: the name of a deps PEX whose `versions` are known.
        """
        names = _deps_names(pex_tag)
        if len(names) != 1:
            return None
        if names[0] == deps:
            return versions
        found = self._registry.distributions(names[0])
        return None if found is None else {name: each.version for name, each in found.items()}

    def look_back(self, runs: Sequence[LocationRun]) -> None:
        """Find out what the locations ran with before they were updated."""
        for run in runs:
            if run.build and run.before:
                deps = run.build.deps
                run.versions_before = self.versions_before(run.before.pex_tag, deps.name, deps.versions)


class Updater:
    """Has a deployment run what was uploaded.

    :ivar deployment: its name; None until a branch deployment is there.
    """

    def __init__(self, cloud: Cloud, update: Update) -> None:
        self._cloud = cloud
        self._destination = update.choice.destination
        self._wait = update.wait
        self._before: dict[str, Entry] = {}
        self._image: str | None = None
        self.deployment: str | None = None

    @property
    def page(self) -> str | None:
        """Where people look at the deployment's locations."""
        return self._cloud.connection.page(self.deployment) if self.deployment else None

    @property
    def planned(self) -> str:
        """The deployment, in words for people."""
        from builder.deployment.destination import BranchDeployment  # noqa: PLC0415  (start-up time)

        if isinstance(self._destination, BranchDeployment):
            return f"the branch deployment of `{self._destination.branch}` ({self._destination.repository})"
        return f"`{self.deployment}`" + (f", on the image {self._image}" if self._image else "")

    def running(self, location: str) -> str | None:
        """The pex tag that a full deployment runs a location from now; None if there is none."""
        return self._before[location].pex_tag if location in self._before else None

    def intention(self, location: str) -> str:
        """What `update` would do to a location, in words for people."""
        if self.deployment is None:
            return "added or updated"
        return "updated" if location in self._before else "added"

    def prepare(self, names: Sequence[str]) -> None:
        """Find out, before anything is built, what would make all the work vain.

        :param names: of the full deployments.

        Raises ContextError for a deployment that does not exist, CloudError for one that runs no PEX files.
        """
        from builder.deployment.destination import FullDeployment  # noqa: PLC0415  (start-up time)

        base = None
        if isinstance(self._destination, FullDeployment):
            self.deployment = _existing(self._destination.name, names, branches=True)
            self._before = self._cloud.entries(self.deployment)
        elif self._destination.base_deployment:
            base = _existing(self._destination.base_deployment, names, branches=False)
        asked = self.deployment or base or next(iter(names), None)
        if asked and not self._cloud.takes_pex(asked):
            raise CloudError(
                f"the agents of `{asked}` run Docker images only, not PEX files",
                remedy="Deploy with `dagster-cloud serverless deploy-docker`",
            )
        if image := os.environ.get("SERVERLESS_BASE_IMAGE", "").strip():
            self._image = image
        elif tag := os.environ.get("SERVERLESS_BASE_IMAGE_TAG", "").strip():
            self._image = self._cloud.base_image(tag)

    def update(self, runs: Sequence[LocationRun], python_version: str) -> None:
        """Have the deployment run what was published, in one request; a failure is that of what it leaves out."""
        started = time.monotonic()
        with console.progress(f"updating {_names(runs)}", None):
            settled = _attempt(runs, lambda: self._send(runs, python_version), otherwise=True)
        done = [run for run in runs if run.updated]
        if done:
            console.done(f"updated {_names(done)} in `{self.deployment}`", time.monotonic() - started)
        if settled:
            console.leaving(
                f"what was updated may still load: {_names(done)} of `{self.deployment}`, see {self.page}"
                if done
                else "no code location was updated"
            )

    def _send(self, runs: Sequence[LocationRun], python_version: str) -> bool:
        """Returns whether it is known of all locations if they were updated; raises CloudError if none were."""
        from builder.deployment.destination import BranchDeployment  # noqa: PLC0415  (start-up time)
        from builder.deployment.document import location_document  # noqa: PLC0415  (start-up time)
        from builder.deployment.updating import NotUpdated  # noqa: PLC0415  (start-up time)

        if isinstance(self._destination, BranchDeployment):
            self.deployment = self._cloud.create_or_update_branch_deployment(self._destination)
        deployment = self.deployment or ""
        self._note_what_was_there(runs, self._cloud.entries(deployment))
        documents = [
            location_document(
                run.location,
                pex_tag=run.build.pex_tag,
                python_version=python_version,
                image=self._image,
                git=self._destination.git,
            )
            for run in runs
            if run.build
        ]
        console.leaving(
            f"these may or may not have been updated: {_names(runs)} of `{deployment}`, see {self.page}"
        )
        try:
            self._cloud.deploy(deployment, documents)
        except NotUpdated as error:
            for run in runs:
                run.updated = run.name in error.updated
                run.error = None if run.updated else error
            return not error.unknown
        for run in runs:
            run.updated = True
        return True

    def _note_what_was_there(self, runs: Sequence[LocationRun], present: Mapping[str, Entry]) -> None:
        for run in runs:
            run.before = present.get(run.name)
            known = self._before.get(run.name)
            if known and run.before and run.before.timestamp != known.timestamp:
                commit = f" (commit {run.before.commit_hash})" if run.before.commit_hash else ""
                text = f"another run updated location `{run.name}` in the meantime{commit}; this run replaces that"
                console.notices([Notice(text)])

    def wait(self, runs: Sequence[LocationRun], over: Callable[[LocationRun], None]) -> None:
        """Wait until Dagster Cloud has loaded what it was told to run; tell each location as it settles."""
        from builder.deployment.loading import wait_until_loaded  # noqa: PLC0415  (start-up time)

        updated = {run.name: run for run in runs if run.updated and run.build}
        if self._wait is None or self.deployment is None or not updated:
            return
        started = time.monotonic()
        expected = {name: run.build.pex_tag for name, run in updated.items() if run.build}

        def settled(name: str, error: LoadError | None) -> None:
            run = updated[name]
            run.error, run.loaded = error, error is None
            if error is None:
                console.done(f"location `{name}` is loaded", time.monotonic() - started)
            over(run)

        with console.progress(f"waiting for {_names(list(updated.values()))} to load", None):
            wait_until_loaded(self._cloud, self.deployment, expected, timeout=self._wait, loaded=settled)


def _attempt(runs: Sequence[LocationRun], work: Callable[[], _T], otherwise: _T) -> _T:
    """Do what concerns these locations; its failure is theirs."""
    try:
        return work()
    except BuilderError as error:
        for run in runs:
            run.error = run.error or error
        return otherwise


def _unfailed(runs: Sequence[LocationRun]) -> list[LocationRun]:
    return [run for run in runs if run.error is None]


def _existing(name: str, names: Sequence[str], *, branches: bool) -> str:
    """The name of a full deployment, or one that only a branch deployment can have; raises ContextError.

    :param branches: whether it may be a branch deployment.
    """
    import difflib  # noqa: PLC0415  (start-up time)

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


def _deps_names(pex_tag: str | None) -> list[str]:
    """The deps PEXes of `files=deps-….pex:source-….pex`."""
    listed = (pex_tag or "").removeprefix("files=").split(":")
    return [name for name in listed if name.startswith("deps-")]


def _said(published: Mapping[str, Published | PublishError]) -> str:
    """What is in the registry now, for people; of what is not there its error tells."""
    done = [each for each in published.values() if not isinstance(each, PublishError)]
    sent = [each for each in done if each.sent]
    parts = [f"uploaded {_files(len(sent))}, {size(sum(each.size for each in sent))}"] if sent else []
    if there := len(done) - len(sent):
        parts.append(f"{_files(there)} already there")
    return "; ".join(parts)


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"


def _names(runs: Sequence[LocationRun]) -> str:
    return ", ".join(f"`{run.name}`" for run in runs)
