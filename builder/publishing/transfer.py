"""Single files to and from a store that hands out presigned URLs, tried until done or out of time.

Ranges and Retry-After are RFC 9110's.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx

from builder.errors import PublishError
from builder.publishing.trouble import TransferError, refusal, trouble
from builder.resolution.http_client import http_client
from builder.resolution.transport import Transport
from builder.system import process, storage

TAIL: Final = 1 << 16
"""Bytes: how much of a file's end is compared."""

ATTEMPTS: Final = 5
PAUSE = 0.5
"""Seconds: the pause after the n-th failure is a random part of this times 2**n."""
_LONGEST_PAUSE: Final = 20.0

_CONNECT: Final = 10.0
_STALL: Final = 60.0
"""Seconds without a byte going or coming; a store may think for a while after the last byte of a large file."""

_RENEWALS: Final = 2
_CHUNK: Final = 1 << 18
_PIECES: Final = 8
_PARTIAL: Final = 206
_ABSENT: Final = frozenset({403, 404, 416})
"""403 is S3's word for it where listing is not permitted, 416 that of an empty file."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")

T = TypeVar("T")


class Deadline:
    """The end of the seconds that a file may take in all, some of which may be spent already."""

    def __init__(self, seconds: float, *, spent: float = 0) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds - spent

    def left(self) -> float:
        """Seconds that are left; 0 or less when it has passed."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Raise TransferError if it has passed, or if the builder was asked to stop."""
        if process.stopping.is_set():
            raise TransferError("it was stopped")
        if self.left() <= 0:
            raise self.passed()

    def passed(self, trouble: str = "") -> TransferError:
        """The error of a transfer that did not end in time, and what kept it."""
        because = f": {trouble}" if trouble else ""
        return TransferError(f"it was not done within the {self._seconds:g} seconds that it may take{because}")


class Link:
    """A presigned URL of one file for one method; `ask` gives a new one."""

    def __init__(self, url: str, ask: Callable[[], str]) -> None:
        self.url = url
        self._ask = ask

    def renew(self) -> None:
        """Take a new URL; raises what `ask` raises."""
        self.url = self._ask()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a store holds under a name.

    :param size: in bytes.
    :param tail: its last bytes, at most TAIL of them.
    :param sha256: of all bytes, hexadecimal, if they were all read.
    """

    size: int
    tail: bytes
    sha256: str | None


class Transfers:
    """Transfers over one HTTP client: connections are shared and kept, threads may use it at once.

    The environment's proxies and certificates hold. To be used as a context manager. Raises FetchError if the
    certificates cannot be read, PublishError if the proxy is none.

    :param connections: how many there are at most.
    """

    def __init__(self, connections: int) -> None:
        # They log URLs, at the level INFO all of them, and somebody's configuration may have that printed.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        requests_bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        certificates = tuple(filter(None, (os.environ.get("SSL_CERT_FILE"), requests_bundle)))
        try:
            self._client = http_client(Transport(certificates=certificates), limits, httpx.Timeout(_STALL))
        except (ValueError, ImportError, httpx.InvalidURL):
            # The message would quote the proxy's URL, perhaps with its password.
            raise PublishError(
                "the proxy that the environment names cannot be used",
                remedy="Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; `http://HOST:PORT` is the usual form",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put(self, link: Link, content: Callable[[], Iterable[bytes]], size: int, deadline: Deadline) -> None:
        """Store a file of `size` bytes; `content` gives them, from the beginning, for each try.

        Raises TransferError, also if `content` does; what did not arrive as a whole is not stored.
        """
        body = _Body(content, deadline)
        headers = {"Content-Length": str(size)}
        self._exchange("PUT", link, deadline, _drain, headers=headers, body=body, renewals=_RENEWALS)

    def look(
        self, link: Link, deadline: Deadline, *, size: int | None = None, whole: bool = False, renewals: int = 0
    ) -> Stored | None:
        """What is stored: its size and tail, with `whole` also its sha256; None if there is nothing.

        Raises TransferError. A store that knows no ranges sends all of it, which is read only if it has the
        expected `size`; otherwise the tail is empty.
        """
        headers = {} if whole else {"Range": f"bytes=-{TAIL}"}

        def consume(response: httpx.Response) -> Stored:
            if response.status_code == _PARTIAL:
                first, total = _content_range(response)
                tail = b"".join(_chunks(response, deadline, limit=TAIL))
                if first + len(tail) != total:
                    raise _unusable(response)
                return Stored(total, tail, None)
            announced = response.headers.get("Content-Length", "")
            if size is not None and announced.isdecimal() and int(announced) != size:
                return Stored(int(announced), b"", None)
            return _read_all(_chunks(response, deadline))

        try:
            return self._exchange("GET", link, deadline, consume, headers=headers, renewals=renewals)
        except TransferError as error:
            if error.status in _ABSENT:
                return None
            raise

    def read(self, link: Link, limit: int, deadline: Deadline, *, renewals: int = 0) -> bytes | None:
        """The content of a small file, cut off after `limit` bytes; None if it is not there."""

        def consume(response: httpx.Response) -> bytes:
            return b"".join(_chunks(response, deadline, limit=limit))[:limit]

        try:
            return self._exchange("GET", link, deadline, consume, renewals=renewals)
        except TransferError as error:
            if error.status in _ABSENT:
                return None
            raise

    def read_range(self, link: Link, first: int, size: int, deadline: Deadline) -> bytes:
        """So many bytes from `first` on; raises TransferError if the store cannot give just these."""

        def consume(response: httpx.Response) -> bytes:
            if response.status_code != _PARTIAL or _content_range(response)[0] != first:
                raise _unusable(response)
            content = b"".join(_chunks(response, deadline, limit=size))
            if len(content) != size:
                raise _unusable(response)
            return content

        return self._exchange(
            "GET", link, deadline, consume, headers={"Range": f"bytes={first}-{first + size - 1}"}
        )

    def save(self, link: Link, path: Path, deadline: Deadline, progress: Callable[[int], None]) -> str | None:
        """Write what is stored to a file; its sha256, hexadecimal, or None if there is nothing.

        Raises TransferError, StorageError. `progress` gets the number of bytes that have come so far.
        """

        def consume(response: httpx.Response) -> str:
            digest = hashlib.sha256()
            taken = 0
            with storage.atomic_write(path) as stream:
                for chunk in _chunks(response, deadline):
                    digest.update(chunk)
                    stream.write(chunk)
                    taken += len(chunk)
                    progress(taken)
            return digest.hexdigest()

        try:
            return self._exchange("GET", link, deadline, consume)
        except TransferError as error:
            if error.status in _ABSENT:
                return None
            raise

    def _exchange(
        self,
        method: str,
        link: Link,
        deadline: Deadline,
        consume: Callable[[httpx.Response], T],
        *,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        renewals: int = 0,
    ) -> T:
        tries = renewed = 0
        while True:
            deadline.check()
            try:
                return self._once(method, link.url, deadline, consume, headers or {}, body)
            except TransferError as failure:
                if failure.outdated and renewed < renewals:
                    renewed += 1
                    link.renew()
                elif failure.transient:
                    tries += 1
                    _pause(failure, tries, deadline)
                elif failure.outdated and renewed:
                    raise _refused(failure, renewed + 1) from None
                else:
                    raise

    def _once(
        self,
        method: str,
        url: str,
        deadline: Deadline,
        consume: Callable[[httpx.Response], T],
        headers: Mapping[str, str],
        body: Iterable[bytes] | None,
    ) -> T:
        left = max(deadline.left(), 0.001)
        timeout = httpx.Timeout(min(_STALL, left), connect=min(_CONNECT, left))
        # A PEX is compressed already; compressed once more, its ranges would be those of something else.
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            with self._client.stream(method, url, headers=headers, content=body, timeout=timeout) as response:
                if not response.is_success:
                    raise refusal(response)
                return consume(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise trouble(error, url) from None


def file_content(path: Path, size: int, sha256: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file, hashed on the way; the last ones are only given if all of them have this sha256.

    So a file that changes meanwhile never arrives whole. Raises TransferError. `progress` gets the number of bytes
    that were taken so far.
    """
    digest = hashlib.sha256()
    taken = 0
    progress(0)
    try:
        with path.open("rb") as stream:
            while taken < size:
                chunk = stream.read(min(_CHUNK, size - taken))
                digest.update(chunk)
                taken += len(chunk)
                if not chunk or (taken == size and digest.hexdigest() != sha256):
                    raise changed(path)
                yield chunk
                progress(taken)
    except OSError as error:
        raise unreadable(path, error) from None


def changed(path: Path) -> TransferError:
    """The error of a file that is not what was built."""
    return TransferError(
        f"`{path}` was changed after it was built",
        remedy="Build it again, and let nothing else write into the output directory meanwhile",
    )


def unreadable(path: Path, error: OSError) -> TransferError:
    """The error of a file that is gone or not to be read."""
    return TransferError(
        f"`{path}` cannot be read: {error.strerror or type(error).__name__}",
        remedy="Build it again, and let nothing else write into the output directory meanwhile",
    )


def _pause(failure: TransferError, tries: int, deadline: Deadline) -> None:
    """Wait before the next try, or raise what there is to tell if there is to be none."""
    if tries == ATTEMPTS:
        raise TransferError(f"{failure}; tried {tries} times", status=failure.status)
    # Full jitter, so that all who were turned away do not come back at the same moment.
    drawn = random.uniform(0, min(_LONGEST_PAUSE, PAUSE * 2**tries))  # noqa: S311  (not for secrets)
    pause = max(drawn, failure.retry_after)
    if pause >= deadline.left():
        asked = f" and asks to wait {failure.retry_after:.0f} seconds" if failure.retry_after else ""
        raise deadline.passed(f"{failure}{asked}")
    process.stopping.wait(pause)


def _refused(failure: TransferError, urls: int) -> TransferError:
    return TransferError(
        f"{failure} to each of {urls} presigned URLs",
        status=failure.status,
        remedy="Check that no proxy or firewall between this machine and that host forbids it, then run it again",
    )


class _Body:
    """What httpx sends; it may begin anew, where the store redirects it."""

    def __init__(self, content: Callable[[], Iterable[bytes]], deadline: Deadline) -> None:
        self._content = content
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._content():
            self._deadline.check()
            yield chunk


def _chunks(response: httpx.Response, deadline: Deadline, *, limit: int | None = None) -> Iterator[bytes]:
    """A response's bytes as they arrive; none after the chunk that exceeds the limit."""
    read = 0
    for chunk in response.iter_raw():
        deadline.check()
        yield chunk
        read += len(chunk)
        if limit is not None and read > limit:
            return


def _drain(response: httpx.Response) -> None:
    """Read what there is to read, or the connection cannot be used again."""
    for _ in itertools.islice(response.iter_raw(), _PIECES):
        pass


def _read_all(chunks: Iterable[bytes]) -> Stored:
    digest = hashlib.sha256()
    size = 0
    tail = b""
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        tail = (tail + chunk)[-TAIL:]
    return Stored(size, tail, digest.hexdigest())


def _content_range(response: httpx.Response) -> tuple[int, int]:
    """Where a partial response begins, and the size of the whole."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        raise _unusable(response)
    return int(match[1]), int(match[2])


def _unusable(response: httpx.Response) -> TransferError:
    return TransferError(f"{response.url.host} answers with something else than was asked for", transient=True)
