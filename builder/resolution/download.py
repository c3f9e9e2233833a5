"""Downloading wheels and sdists in parallel, each checked against its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

import httpx

from builder.errors import FetchError
from builder.resolution.lock import Distribution
from builder.resolution.store import ProgressCallback
from builder.resolution.transport import Credentials, Transport
from builder.system import http, process, storage

CONNECTIONS: Final = 16

_REFUSED: Final = frozenset({401, 403, 407})
_CHUNK: Final = 1 << 18
_WRONG_AT_MOST: Final = 3
"""How often a file is downloaded if its hash does not match the lock."""
_TIMEOUT: Final = httpx.Timeout(30, connect=10)


def download(missing: Mapping[Path, Distribution], transport: Transport, arrived: ProgressCallback) -> None:
    """Write each distribution to its path; raises FetchError naming every one that could not be fetched."""
    credentials = _credentials(missing.values(), transport)
    client = http.client(
        connections=CONNECTIONS,
        timeout=_TIMEOUT,
        trust=http.Trust(transport.certificates, transport.client_certificate),
        proxy=transport.proxy,
        insecure_hosts=transport.insecure_hosts,
    )
    with client, ThreadPoolExecutor(CONNECTIONS) as pool:
        # Largest first, so that no large download starts last and finishes alone.
        ordered = sorted(missing.items(), key=lambda item: -(item[1].size or 0))
        futures = [
            pool.submit(_fetch, client, distribution, path, credentials.get(distribution.name), arrived)
            for path, distribution in ordered
        ]
        try:
            failures = [failure for failure in (future.result() for future in futures) if failure is not None]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
    if failures:
        count = f"{len(failures)} distributions" if len(failures) > 1 else "a distribution"
        raise FetchError(
            f"{count} could not be fetched",
            detail="\n".join(sorted(failures)),
            remedy="Check the network, the proxy and the credentials, then run it again; what did arrive is kept",
        )


def _credentials(missing: Iterable[Distribution], transport: Transport) -> Mapping[str, Credentials]:
    """The credentials for each distribution, by name; looked up once per directory, since a keyring is slow."""
    by_directory: dict[str, Credentials | None] = {}
    known = {}
    for distribution in missing:
        if isinstance(distribution.location, Path):
            continue
        directory = distribution.location.rpartition("/")[0]
        if directory not in by_directory:
            by_directory[directory] = transport.credentials(distribution.location)
        if credentials := by_directory[directory]:
            known[distribution.name] = credentials
    return known


def _fetch(
    client: httpx.Client,
    distribution: Distribution,
    path: Path,
    credentials: Credentials | None,
    arrived: ProgressCallback,
) -> str | None:
    """Download one file; returns the reason if that failed."""
    if isinstance(distribution.location, Path) and not distribution.location.is_file():
        return f"{distribution.filename}: `{distribution.location}` does not exist"
    wrong = 0

    def once() -> None:
        nonlocal wrong
        if process.stopping.is_set():
            raise http.HttpError("stopped")
        with storage.atomic_write(path) as stream:
            digest = _copy(client, distribution, credentials, stream, arrived)
            if digest != distribution.digest:
                wrong += 1
                text = f"its sha256 is {digest}, the lock says {distribution.digest}"
                raise http.HttpError(text, transient=wrong < _WRONG_AT_MOST)

    try:
        http.retrying(once)
    except http.HttpError as error:
        return f"{distribution.filename}: {error}"
    return None


def _copy(
    client: httpx.Client,
    distribution: Distribution,
    credentials: Credentials | None,
    stream: IO[bytes],
    arrived: ProgressCallback,
) -> str:
    """Copy a distribution's bytes to a stream; returns their sha256, hexadecimal."""
    digest = hashlib.sha256()
    for chunk in _chunks(client, distribution, credentials):
        if process.stopping.is_set():
            raise http.HttpError("stopped")
        digest.update(chunk)
        stream.write(chunk)
        arrived(distribution.filename, stream.tell())
    return digest.hexdigest()


def _chunks(client: httpx.Client, distribution: Distribution, credentials: Credentials | None) -> Iterable[bytes]:
    location = distribution.location
    if isinstance(location, Path):
        with location.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
        return
    # A wheel is compressed already. Without a content encoding, the bytes can be hashed as they arrive.
    headers = {"Accept-Encoding": "identity"}
    host = ""
    try:
        host = httpx.URL(location).host
        # httpx sends credentials to this host only, not to one that it is redirected to.
        with client.stream("GET", location, headers=headers, auth=credentials) as response:
            if not response.is_success:
                raise http.refused(response, host, _reason(response.status_code, credentials))
            yield from response.iter_raw(_CHUNK)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise http.network_error(error, host) from error


def _reason(status: int, credentials: Credentials | None) -> str:
    if status not in _REFUSED:
        return ""
    return "it refuses the credentials" if credentials else "it wants credentials"
