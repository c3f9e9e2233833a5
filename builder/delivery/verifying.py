"""Verifying the built locations of a run before they are uploaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.building.steps import DepsBuild
from builder.building.workspace import ProjectBuild
from builder.delivery.location_run import LocationRun
from builder.delivery.uploader import Uploader
from builder.errors import BuilderError, LoadError
from builder.system import storage
from builder.terminal.console import console
from builder.terminal.formatting import counted
from builder.verification.compatibility import NotVerified, interpreter
from builder.verification.load import VERSIONED_STATE, Definitions
from builder.verification.outcome_table import show_outcome
from builder.verification.unpack import kept_deps
from builder.verification.verify import (
    StateMissingError,
    ToVerify,
    Verified,
    VerifyResult,
    to_verify,
    verify_locations,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """How to verify.

    :param timeout: seconds that the code of each location may take.
    :param environment: variables that it gets besides those of this process that are no secrets.
    """

    timeout: float
    environment: Mapping[str, str]


def verify(runs: Sequence[LocationRun], how: Verification, python_version: str, uploader: Uploader | None) -> None:
    """Load all locations as the server will; one that does not load has an error from then on.

    :param uploader: gives deps PEXes that were not built here; None if there are none.

    A location that this machine cannot run gets a warning, not an error: it may still load on the server.
    """
    by_name = {run.name: run for run in runs}

    def done(item: ToVerify, outcome: VerifyResult) -> None:
        run = by_name[item.name]
        run.needs_state = isinstance(outcome, StateMissingError) or (
            isinstance(outcome, Verified) and bool(outcome.states)
        )
        if isinstance(outcome, LoadError):
            run.error = outcome
            return
        if isinstance(outcome, Verified):
            definitions = replace(outcome.definitions, resources=())
            run.empty = definitions == Definitions() and not any(
                state.kind == VERSIONED_STATE for state in outcome.states
            )
        show_outcome(item.name, outcome)

    with storage.scratch_directory() as scratch:
        present = [item for _, item in items_of(runs, python_version, uploader, scratch)]
        if not present:
            return
        with console.progress(f"loading {counted(len(present), 'location')}", None):
            verify_locations(present, timeout=how.timeout, environment=how.environment, when_done=done)


def items_of(
    runs: Sequence[LocationRun], python_version: str, uploader: Uploader | None, scratch: Path
) -> list[tuple[LocationRun, ToVerify]]:
    """The locations that were built, each with the files to load; `scratch` is for what has to be downloaded."""
    items = [(run, _item(run, run.build, python_version, uploader, scratch)) for run in runs if run.build]
    return [(run, item) for run, item in items if item is not None]


def _item(
    run: LocationRun, build: ProjectBuild, python_version: str, uploader: Uploader | None, scratch: Path
) -> ToVerify | None:
    """What to load; None if the registry's deps PEX cannot be downloaded, which is the location's error then."""
    if run.image:
        path = run.image.layout.path
        return to_verify(run.location, path, path, python_version)
    try:
        deps = _deps(build.deps, python_version, uploader, scratch)
    except BuilderError as error:
        run.error = error
        return None
    sha256 = build.deps.sha256
    return to_verify(run.location, build.source.artefact.path, deps, python_version, deps_sha256=sha256)


def _deps(deps: DepsBuild, python_version: str, uploader: Uploader | None, scratch: Path) -> Path:
    """Where the deps PEX is, downloaded if that is necessary."""
    if deps.artefact:
        return deps.artefact.path
    path = scratch / deps.name
    python = interpreter(python_version)
    if path.exists() or isinstance(python, NotVerified) or (deps.sha256 and kept_deps(deps.sha256, python)):
        return path
    if uploader is None:
        return path
    return uploader.fetch(deps, scratch)
