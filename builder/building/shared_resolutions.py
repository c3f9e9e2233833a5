"""Sharing one resolution between the projects of a run with equal requirements.

The requirements of a workspace's projects often differ only in the name of their own package, which is never
requested from an index. That name does not matter unless a distribution requires it, which is known once the
wheels are there.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

from builder.building.steps import DepsBuild, resolve_project
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.resolution import resolution_cache
from builder.resolution.indexes import Indexes, read_indexes
from builder.resolution.lock import Lock
from builder.resolution.target import Target
from builder.terminal.console import Step, console


@dataclass(frozen=True, slots=True)
class _Shared:
    """A running or finished resolution: its first requirements and indexes, its key in the cache, its lock."""

    leader: Requirements
    indexes: Indexes
    question: str | None
    lock: Future[Lock] = field(default_factory=Future)


class SharedResolutions:
    """The resolutions of a run. Safe to use from several threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._mutex = threading.Lock()
        self._known: list[_Shared] = []

    def resolve(self, requirements: Requirements, about: str) -> tuple[Lock, Step, Requirements]:
        """Resolve the requirements of a project, or reuse another project's resolution; raises as `resolve`.

        Returns the lock, the step, and the requirements that it was resolved for: if they are another project's,
        `fits` is to be asked once the wheels are there.
        """
        if not _can_share(requirements):
            return (*resolve_project(requirements, self._target, about=about), requirements)
        indexes = read_indexes(requirements.directory, requirements.options)
        with self._mutex:
            known = next(
                (candidate for candidate in self._known if _equal(candidate, requirements, indexes)), None
            )
            if known is None:
                asked = resolution_cache.question(requirements, self._target, indexes)
                self._known.append(shared := _Shared(requirements, indexes, asked))
            else:
                shared = known
        if known is None:
            try:
                lock, step = resolve_project(requirements, self._target, about=about)
            except BaseException as error:
                shared.lock.set_exception(error)
                raise
            shared.lock.set_result(lock)
            return lock, step, requirements
        with console.step(f"{about}resolved") as step:
            lock = shared.lock.result()
            step.title = (
                f"{about}resolved {len(lock.distributions)} distributions, as `{shared.leader.directory.name}`"
            )
        if _names_or_paths(lock, requirements.local_names):
            return (*resolve_project(requirements, self._target, about=about), requirements)
        return lock, step, shared.leader

    def fits(self, requirements: Requirements, leader: Requirements, deps: DepsBuild) -> bool:
        """Whether another project's resolution is what this one's would be; if so, the next run knows it."""
        if leader is requirements:
            return True
        if not deps.distributions:
            return False
        names = leader.local_names - requirements.local_names
        lines = [line for dist in deps.distributions for line in dist.metadata.get("requires-dist", ())]
        if not names.isdisjoint(canonicalize_name(required_name(line) or "") for line in lines):
            return False
        asked = next((shared.question for shared in self._known if shared.leader is leader), None)
        with contextlib.suppress(OSError):
            if asked:
                resolution_cache.copy(asked, leader, requirements)
        return True


def _can_share(requirements: Requirements) -> bool:
    """Whether only the requirements themselves and the configured indexes affect the resolution."""
    return requirements.lock is None and not (
        resolution_cache.is_configured(requirements.directory)
        or any("://" in line.text or "@" in line.text for line in requirements.lines)
    )


def _equal(shared: _Shared, requirements: Requirements, indexes: Indexes) -> bool:
    return shared.indexes == indexes and _question(shared.leader) == _question(requirements)


def _question(requirements: Requirements) -> tuple[object, ...]:
    return (
        [(line.text, line.index) for line in requirements.lines],
        [line.text for line in requirements.constraints],
        list(requirements.options),
    )


def _names_or_paths(lock: Lock, names: frozenset[str]) -> bool:
    """Whether a lock holds one of these packages, or a path, which is relative to the project."""
    return any(dist.name in names or not isinstance(dist.location, str) for dist in lock.distributions)
