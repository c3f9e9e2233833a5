"""Verifying the built locations of a run before they are uploaded."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from builder.building.steps import DepsBuild
from builder.delivery.location_run import LocationRun
from builder.delivery.uploader import Uploader
from builder.errors import BuilderError, LoadError
from builder.system import storage
from builder.verification.compatibility import NotVerified, interpreter
from builder.verification.load import VERSIONED_STATE, Definitions
from builder.verification.outcome_table import show_outcome
from builder.verification.unpack import kept_deps
from builder.verification.verify import StateMissingError, ToVerify, Verified, Verifier, to_verify


@dataclass(frozen=True, slots=True)
class Verification:
    """How to verify.

    :param timeout: seconds that the code of each location may take.
    :param environment: variables that it gets besides those of this process that are no secrets.
    :param use_records: whether files that loaded within a day are not loaded again; see `Verifier`.
    """

    timeout: float
    environment: Mapping[str, str]
    use_records: bool


class LocationVerifier:
    """Verifies locations that were built; a context manager.

    :param uploader: gives deps PEXes that were not built here; None if there are none.

    A location that this machine cannot run gets a warning, not an error: it may still load on the server.

    :param count: how many locations there are.
    :param python_version: of the target.
    :ivar uploader: gives deps PEXes that were not built here; None if there are none.
    """

    def __init__(self, count: int, how: Verification, python_version: str) -> None:
        self._verifier = Verifier(
            count, timeout=how.timeout, environment=how.environment, use_records=how.use_records
        )
        self._python_version = python_version
        self.uploader: Uploader | None = None
        self._stack = contextlib.ExitStack()
        self._scratch = self._stack.enter_context(storage.scratch_directory())
        self._fetching = threading.Lock()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._verifier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    def prepare(self, build_json: Path) -> None:
        """Have dagster imported out of what the locations had when they were built last."""
        for name, deps_sha256 in deps_of_last_build(build_json).items():
            self._verifier.prepare(name, deps_sha256, self._python_version)

    def verify(self, run: LocationRun) -> None:
        """Load a location as the server will; it has an error from then on if it does not load."""
        item = self.item(run)
        if item is None:
            return
        try:
            outcome = self._verifier.submit(item).result()
        except BuilderError as error:
            run.error = error
            return
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

    def item(self, run: LocationRun) -> ToVerify | None:
        """What to load; None if the registry's deps PEX cannot be had, which is the location's error then."""
        build = run.build
        if build is None:
            return None
        if run.image:
            path = run.image.layout.path
            return to_verify(run.location, path, path, self._python_version)
        try:
            # Only one of the locations that share a deps PEX downloads it.
            with self._fetching:
                deps = _deps(build.deps, self._python_version, self.uploader, self._scratch)
        except BuilderError as error:
            run.error = error
            return None
        sha256 = build.deps.sha256
        return to_verify(run.location, build.source.artefact.path, deps, self._python_version, deps_sha256=sha256)


def deps_of_last_build(build_json: Path) -> dict[str, str]:
    """The sha256 of the deps PEX of each location in a build.json, as far as it can be read."""
    try:
        locations = json.loads(build_json.read_text(encoding="utf-8"))["locations"]
        known = [(location["name"], (location.get("deps") or {}).get("sha256")) for location in locations]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: sha256 for name, sha256 in known if isinstance(name, str) and isinstance(sha256, str)}


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
