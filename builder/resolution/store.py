"""The wheel store: a content-addressed directory of wheels and sdists, shared by all builds on this machine.

A file is stored as `sha256/ab/abcdef…/NAME`. It appears there only when complete, so several builders may use the
store at once. Each use verifies the hash: a corrupt entry is deleted and downloaded again.
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
    """A file of the store whose hash was verified.

    :param fetched: it was downloaded or built now, and not there before.
    """

    path: Path
    sha256: str
    fetched: bool = False


def store_path(distribution: Distribution) -> Path:
    """The path of a distribution in the store, whether or not it exists yet."""
    digest = distribution.digest
    return storage.cache_directory() / "sha256" / digest[:2] / digest / distribution.filename


ProgressCallback = Callable[[str, int], None]
"""Called repeatedly with a file's name and the number of bytes received, from several threads."""


def fetch(
    distributions: Sequence[Distribution],
    transport: Transport,
    arrived: ProgressCallback = lambda _name, _bytes: None,
) -> Mapping[str, StoredFile]:
    """Ensure that the store has all these wheels and sdists; returns them by distribution name.

    Stored files are verified, missing ones are downloaded in parallel and verified. Raises FetchError with every
    distribution that cannot be downloaded, StorageError if the disk is full.

    :param transport: how the hosts are reached.
    :param arrived: called with the bytes received, from several threads; for stored files immediately.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        whole = list(pool.map(_is_whole, distributions))
        missing = [dist for dist, there in zip(distributions, whole, strict=True) if not there]
        for dist, there in zip(distributions, whole, strict=True):
            if there:
                arrived(dist.filename, dist.size or 0)
    if missing:
        # Importing httpx takes 110 ms, and a warm build does not need it.
        from builder.resolution.download import download  # noqa: PLC0415

        download({store_path(distribution): distribution for distribution in missing}, transport, arrived)
    return {
        dist.name: StoredFile(store_path(dist), dist.digest, fetched=not there)
        for dist, there in zip(distributions, whole, strict=True)
    }


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
