"""The state of a delivery: what to upload and update, and how far the run of each location has come.

Forward only: everything that a location needs is uploaded and read back before the record of the cache is written,
and that before the location is updated. Locations do not wait for each other: one that fails stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from builder.building.workspace import ProjectBuild
from builder.deployment.destination import BranchDeployment, ResolvedDestination
from builder.errors import BuilderError
from builder.project.location import Location
from builder.system.storage import Artefact
from builder.terminal.formatting import quoted
from builder.verification.load import RefreshedState

if TYPE_CHECKING:
    from builder.building.image import BuiltImage
    from builder.deployment.cloud import SnapshotCondition
    from builder.deployment.entries import Entry
    from builder.publishing.comparison import ReadBack
    from builder.publishing.pex_registry import Published

_T = TypeVar("_T")

Format = Literal["pex", "image"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """How PEX files are to be uploaded.

    :param check: how what was uploaded is read back.
    :param timeout: seconds that each file may take in all.
    :param read_tag: of the cache records to use; None for none.
    :param write_tag: of the cache records to write; None for none.
    :param force_rebuild: ignore the records.
    """

    check: ReadBack
    timeout: float
    read_tag: str | None = None
    write_tag: str | None = None
    force_rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is to be updated.

    :param choice: the deployment, and what it was chosen from.
    :param wait: seconds to wait until the locations are loaded; None not to wait.
    :param allow_empty: whether a location that has definitions may be updated to one that has none.
    :param snapshot_base: when a branch deployment copies the state of its base; None for never.
    :param if_changed: whether a location that runs the same already is left alone.
    """

    choice: ResolvedDestination
    wait: float | None
    allow_empty: bool = False
    snapshot_base: SnapshotCondition | None = None
    if_changed: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that the server will set for the code."""
        destination = self.choice.destination
        branch = destination if isinstance(destination, BranchDeployment) else None
        variables = {
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
        return {name: value for name, value in variables.items() if value is not None}

    @property
    def closed(self) -> BranchDeployment | None:
        """The branch deployment of a closed or merged pull request, to which nothing is deployed; else None."""
        destination = self.choice.destination
        return destination if isinstance(destination, BranchDeployment) and destination.status != "OPEN" else None


@dataclass(slots=True, kw_only=True)
class LocationRun:
    """How far the work on one location has come.

    :param format: what is built for it.
    :param build: what was built for it; None until then, or if that failed.
    :param image: the image, where that is what was built.
    :param error: why it goes no further.
    :param empty: it was found to have no definitions.
    :param needs_state: it was found to have components that are backed by state.
    :param states: that were refreshed, each with the file that it is in if the deployment is to keep it.
    :param published: its files, or layers, in the registry, by name.
    :param reference: the name by digest of its image in the registry.
    :param document: that the deployment is updated with.
    :param unchanged: the deployment runs the same already, and was not updated.
    :param updated: the deployment has been updated to run it.
    :param loaded: Dagster Cloud runs it.
    :param before: what the deployment held of this location until now.
    :param versions_before: of the distributions that it ran with before; None if unknown.
    :param seconds: since the start of the run, when it was over.
    """

    location: Location
    format: Format = "pex"
    build: ProjectBuild | None = None
    image: BuiltImage | None = None
    error: BuilderError | None = None
    empty: bool = False
    needs_state: bool = False
    states: tuple[tuple[RefreshedState, Path], ...] = ()
    published: dict[str, Published] = field(default_factory=dict)
    reference: str | None = None
    document: dict[str, Any] = field(default_factory=dict)
    unchanged: bool = False
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
    def version(self) -> str | None:
        """The code that Dagster Cloud runs: a pex tag, or the name of an image; None if there is none yet."""
        if self.format == "image":
            return self.reference
        return self.build.pex_tag if self.build else None

    @property
    def artefacts(self) -> tuple[Artefact, ...]:
        """The files that were built here."""
        if self.build is None:
            return ()
        deps, source = self.build.deps.artefact, self.build.source.artefact
        return (deps, source) if deps else (source,)


def run_or_mark_failed(runs: Sequence[LocationRun], work: Callable[[], _T], otherwise: _T) -> _T:
    """Run `work` for these locations; its failure is recorded as their error."""
    try:
        return work()
    except BuilderError as error:
        for run in runs:
            run.error = run.error or error
        return otherwise


def names_of(runs: Sequence[LocationRun]) -> str:
    """The names of locations in one line, for people."""
    return quoted(run.name for run in runs)
