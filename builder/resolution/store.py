"""The wheel store: the content-addressed directory of wheels and sdists on this machine, shared by all builds.

A file lies under `sha256/ab/abcdef…/NAME` and gets there whole or not at all, so that any number of builders may
use the store at once. Each use checks the content: a corrupt entry is thrown away and fetched again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.resolution.lock import Distribution
from builder.resolution.transport import Transport
from builder.system import storage

_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store whose content was checked."""

    path: Path
    sha256: str


def store_path(distribution: Distribution) -> Path:
    """Where a distribution lies in the store, or will lie."""
    digest = distribution.digest
    return storage.cache_directory() / "sha256" / digest[:2] / digest / distribution.filename


ProgressCallback = Callable[[str, int], None]
"""Called repeatedly with the name of a file and the number of its bytes that have arrived."""


def fetch(
    distributions: Sequence[Distribution],
    transport: Transport,
    arrived: ProgressCallback = lambda _name, _bytes: None,
) -> Mapping[str, StoredFile]:
    """Have all these wheels and sdists in the store; return them by distribution name.

    What the store already holds is checked, the rest is fetched in parallel, each against its hash. Raises
    FetchError naming everything that cannot be fetched, StorageError if the disk is full.

    :param transport: how the hosts are reached.
    :param arrived: called from several threads; at once for what was there already.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        whole = list(pool.map(_is_whole, distributions))
        missing = [dist for dist, there in zip(distributions, whole, strict=True) if not there]
        for dist, there in zip(distributions, whole, strict=True):
            if there:
                arrived(dist.filename, dist.size or 0)
    if missing:
        # httpx takes 110 ms to import, and a warm build has all that it needs.
        from builder.resolution.download import download  # noqa: PLC0415

        download({store_path(distribution): distribution for distribution in missing}, transport, arrived)
    return {dist.name: StoredFile(store_path(dist), dist.digest) for dist in distributions}


def _is_whole(distribution: Distribution) -> bool:
    path = store_path(distribution)
    try:
        whole = storage.sha256_of(path) == distribution.digest
    except FileNotFoundError:
        return False
    except OSError as error:
        raise storage.storage_error(error, path) from error
    storage.mark_used(path)
    return whole
