"""A wheel for every distribution of a lock, which the target can install."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from builder.errors import SdistBuildError
from builder.resolution.lock import Lock
from builder.resolution.store import ProgressCallback, StoredFile, fetch
from builder.resolution.target import Target

StepContext = Callable[[str], AbstractContextManager[object]]
"""A context that shows a description of a long-running step while the step runs."""


def fetch_wheels(
    lock: Lock, arrived: ProgressCallback = lambda _name, _bytes: None, showing: StepContext = nullcontext
) -> Mapping[str, StoredFile]:
    """Get a verified wheel for every distribution of a lock, by name: downloaded, or built from source.

    :param showing: entered for each distribution while it is built, from several threads.

    Raises FetchError, StorageError; SdistBuildError with every distribution that cannot be built for the target on
    this machine.
    """
    archives = [dist for dist in lock.distributions if dist.kind != "git"]
    sources = [dist for dist in lock.distributions if dist.kind != "wheel"]
    if not sources:
        return dict(fetch(archives, lock.indexes.transport, arrived))
    # With what explains failures of builds, 25 ms to import; most locks have wheels only.
    from builder.resolution import sdists  # noqa: PLC0415

    sdists.check_python(lock, sources)
    files = dict(fetch(archives, lock.indexes.transport, arrived))
    return {**files, **sdists.build_all(lock, sources, files, showing)}


def check_fits(target: Target, name: str, wheel: Path) -> None:
    """Raise SdistBuildError unless the target can install and load a wheel that was built here."""
    if not target.accepts(wheel.name):
        raise SdistBuildError(
            f"`{name}` builds to `{wheel.name}` here, which the target does not accept",
            remedy=f"Build on a machine like the target: {target.description}",
        )
    needed = _needed_glibc(wheel)
    if target.glibc and needed and needed > target.glibc:
        has, wants = (".".join(map(str, version)) for version in (target.glibc, needed))
        raise SdistBuildError(f"`{name}` built here needs glibc {wants}, the target has {has}")


def _needed_glibc(wheel: Path) -> tuple[int, int] | None:
    """The newest glibc symbol version that a wheel's shared objects require (names in ELF's `.gnu.version_r`)."""
    with zipfile.ZipFile(wheel) as archive:
        objects = [archive.read(name) for name in archive.namelist() if ".so" in Path(name).name]
    versions = [
        match for content in objects for match in re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?\0", content)
    ]
    return max(((int(major), int(minor)) for major, minor in versions), default=None)
