"""Downloading wheels and sdists into the store, in parallel, with retries."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

import httpx

from builder.errors import FetchError
from builder.resolution.http_client import http_client
from builder.resolution.lock import Distribution
from builder.resolution.store import CONNECTIONS, Arrived, store_path
from builder.resolution.transport import Credentials, Transport
from builder.system import process, storage

_ATTEMPTS: Final = 4
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403, 407})
_CHUNK: Final = 1 << 18


def download(
    missing: Sequence[Distribution], pool: ThreadPoolExecutor, transport: Transport, arrived: Arrived
) -> None:
    """Fetch these into the store, each against its hash; raises FetchError that names all that failed.

    :param pool: what fetches them.
    :param arrived: see `store.fetch`.
    """
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    timeout = httpx.Timeout(30, connect=10)
    credentials = _credentials(missing, transport)
    with http_client(transport, limits, timeout) as client:
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
