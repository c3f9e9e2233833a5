"""The state of each location during a run.

The state only moves forward: all files of a location are uploaded and read back, then the cache record is written,
then the location is updated. Locations do not wait for each other; one that fails stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from builder.building.workspace import ProjectBuild
from builder.errors import BuilderError
from builder.project.location import Location
from builder.system.storage import Artefact
from builder.terminal.formatting import quoted

if TYPE_CHECKING:
    from builder.building.image import BuiltImage
    from builder.deployment.entries import Entry
    from builder.publishing.pex_registry import Published
    from builder.verification.load import RefreshedState

_T = TypeVar("_T")

Format = Literal["pex", "image"]


@dataclass(slots=True, kw_only=True)
class LocationRun:
    """The state of one location.

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
