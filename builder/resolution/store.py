"""The wheel store: the content-addressed directory of wheels and sdists on this machine, shared by all builds.

A file lies under `sha256/ab/abcdef…/NAME` and gets there whole or not at all, so that any number of builders may
use the store at once. Each use checks the content: a corrupt entry is thrown away and fetched again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from builder.errors import FetchError
from builder.resolution.lock import Distribution
from builder.resolution.transport import Credentials, Transport
from builder.system import process, storage

if TYPE_CHECKING:
    import httpx

_CONNECTIONS: Final = 16
_ATTEMPTS: Final = 4
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403, 407})
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store whose content was checked."""

    path: Path
    sha256: str


def store_path(distribution: Distribution) -> Path:
    """Where a distribution lies in the store, or will lie."""
    digest = distribution.digest
    return storage.cache_directory() / "sha256" / digest[:2] / digest / distribution.filename


Arrived = Callable[[str, int], None]
"""Is told again and again of how many bytes of a file are there: its name, and their number."""


def fetch(
    distributions: Sequence[Distribution], transport: Transport, arrived: Arrived = lambda _name, _bytes: None
) -> Mapping[str, StoredFile]:
    """Have all these wheels and sdists in the store; return them by distribution name.

    What the store already holds is checked, the rest is fetched in parallel, each against its hash. Raises
    FetchError naming everything that is not to be had, StorageError if the disk is full.

    :param transport: how the hosts are reached.
    :param arrived: is told from several threads; what was there already has arrived at once.
    """
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        whole = list(pool.map(_is_whole, distributions))
        missing = [found for found, there in zip(distributions, whole, strict=True) if not there]
        for found, there in zip(distributions, whole, strict=True):
            if there:
                arrived(found.filename, found.size or 0)
        _fetch_missing(missing, pool, transport, arrived)
    return {found.name: StoredFile(store_path(found), found.digest) for found in distributions}


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


def _fetch_missing(
    missing: Sequence[Distribution], pool: ThreadPoolExecutor, transport: Transport, arrived: Arrived
) -> None:
    if not missing:
        return
    import httpx  # noqa: PLC0415  (start-up time)

    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    timeout = httpx.Timeout(30, connect=10)
    credentials = _credentials(missing, transport)
    with transport.client(limits, timeout) as client:
        # Large ones first: the last to start should not be the last to finish by far.
        ordered = sorted(missing, key=lambda found: -(found.size or 0))
        futures = [
            pool.submit(_fetch_one, client, found, credentials.get(found.name), arrived) for found in ordered
        ]
        try:
            failures = [failure for failure in (future.result() for future in futures) if failure is not None]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    if failures:
        failures.sort()
        shown = "\n".join(failures)
        count = f"{len(failures)} distributions" if len(failures) > 1 else "a distribution"
        raise FetchError(
            f"{count} could not be fetched",
            detail=shown,
            remedy="Check the network, the proxy and the credentials, then run it again; what did arrive is kept",
        )


def _credentials(missing: Iterable[Distribution], transport: Transport) -> Mapping[str, Credentials]:
    """What to present for each distribution, by its name; each place is looked up once: a keyring is slow."""
    by_place: dict[str, Credentials | None] = {}
    found = {}
    for distribution in missing:
        if isinstance(distribution.location, Path):
            continue
        place = distribution.location.rpartition("/")[0]
        if place not in by_place:
            by_place[place] = transport.credentials(distribution.location)
        if credentials := by_place[place]:
            found[distribution.name] = credentials
    return found


def _fetch_one(
    client: httpx.Client, distribution: Distribution, credentials: Credentials | None, arrived: Arrived
) -> str | None:
    """Fetch one file into the store; return what went wrong, in words, if it is not to be had."""
    import httpx  # noqa: PLC0415  (start-up time)

    if isinstance(distribution.location, Path) and not distribution.location.is_file():
        return f"{distribution.filename}: `{distribution.location}` does not exist"
    problem = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Full jitter, so that sixteen connections do not come back at the same moment.
            process.stopping.wait(random.uniform(0, 0.5 * 2**attempt))  # noqa: S311  (not for secrets)
        if process.stopping.is_set():
            return f"{distribution.filename}: stopped"
        try:
            with storage.atomic_write(store_path(distribution)) as stream:
                _copy(client, distribution, credentials, stream, arrived)
        except _WrongContent as error:
            problem = str(error)
        except httpx.HTTPStatusError as error:
            problem = _answer(error.response.status_code, credentials)
            if error.response.status_code not in _TRANSIENT:
                break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = f"{type(error).__name__}: {error}".rstrip(": ")
        else:
            return None
    return f"{distribution.filename}: {problem}"


def _answer(status: int, credentials: Credentials | None) -> str:
    said = f"the index answers {status}"
    if status not in _REFUSED:
        return said
    return f"{said}: it refuses the credentials" if credentials else f"{said}: it wants credentials"


class _WrongContent(Exception):
    """Makes atomic_write throw away what arrived."""


def _copy(
    client: httpx.Client,
    distribution: Distribution,
    credentials: Credentials | None,
    stream: IO[bytes],
    arrived: Arrived,
) -> None:
    """Copy a distribution's bytes to a stream; raises _WrongContent if they are not what the lock says."""
    digest = hashlib.sha256()
    for chunk in _chunks(client, distribution, credentials):
        if process.stopping.is_set():
            raise _WrongContent("stopped")
        digest.update(chunk)
        stream.write(chunk)
        arrived(distribution.filename, stream.tell())
    if digest.hexdigest() != distribution.digest:
        raise _WrongContent(f"its sha256 is {digest.hexdigest()}, the lock says {distribution.digest}")


def _chunks(client: httpx.Client, distribution: Distribution, credentials: Credentials | None) -> Iterable[bytes]:
    if isinstance(distribution.location, Path):
        with distribution.location.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
        return
    # A wheel is compressed already; asking for it as it is lets the content be hashed as it arrives.
    headers = {"Accept-Encoding": "identity"}
    # httpx presents them to this host only, not to another one that it may redirect to.
    with client.stream("GET", distribution.location, headers=headers, auth=credentials) as response:
        response.raise_for_status()
        yield from response.iter_raw(_CHUNK)
