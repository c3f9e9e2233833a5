"""Uploading and downloading single files with presigned URLs, with retries up to a time limit.

Ranges and Retry-After are RFC 9110's.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import httpx

from builder.system import http, storage
from builder.system.http import Deadline, HttpError

TAIL: Final = 1 << 16
"""Bytes: how much of a file's end is compared."""

_CONNECT_SECONDS: Final = 10.0
_STALL_SECONDS: Final = 60.0
"""Seconds without a byte going or coming; a store may think for a while after the last byte of a large file."""

_RENEWALS: Final = 2
_CHUNK: Final = 1 << 18
_PIECES: Final = 8
_PARTIAL: Final = 206
_ABSENT: Final = frozenset({403, 404, 416})
"""403 is S3's word for it where listing is not permitted, 416 that of an empty file."""
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody"})
_ERROR_BODY: Final = 1 << 12
"""Bytes: how much of the text of an error is read."""
_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")

_MD5_ETAG: Final = re.compile(r'"?([0-9A-Fa-f]{32})"?')
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")

T = TypeVar("T")


class PresignedUrl:
    """A presigned URL of one file for one method; `ask` gives a new one."""

    def __init__(self, url: str, ask: Callable[[], str]) -> None:
        self.url = url
        self._ask = ask

    def renew(self) -> None:
        """Take a new URL; raises what `ask` raises."""
        self.url = self._ask()


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """A file in a store.

    :param size: in bytes.
    :param tail: its last bytes, at most TAIL of them.
    :param sha256: of all bytes, hexadecimal, if they were all read.
    :param md5: of all bytes, hexadecimal, as reported by the store, or None. With some kinds of encryption it is
        not the MD5: if it is equal, the file is complete; if not, that proves nothing.
    """

    size: int
    tail: bytes
    sha256: str | None
    md5: str | None


class Transfers:
    """Transfers over one HTTP client, which keeps its connections and may be used by several threads.

    To be used as a context manager. Raises NetworkError if the environment's proxy or certificates cannot be used.

    :param connections: their maximum number.
    """

    def __init__(self, connections: int) -> None:
        timeout = httpx.Timeout(_STALL_SECONDS, connect=_CONNECT_SECONDS)
        self._client = http.client(connections=connections, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put(
        self, link: PresignedUrl, content: Callable[[], Iterable[bytes]], size: int, deadline: Deadline
    ) -> None:
        """Store a file of `size` bytes; `content` gives them, from the beginning, for each try.

        Raises HttpError, also if `content` does; what did not arrive as a whole is not stored.
        """
        body = _Body(content, deadline)
        headers = {"Content-Length": str(size)}
        self._exchange("PUT", link, deadline, _drain, headers=headers, body=body, renewals=_RENEWALS)

    def stat(
        self,
        link: PresignedUrl,
        deadline: Deadline,
        *,
        size: int | None = None,
        whole: bool = False,
        renewals: int = 0,
    ) -> RemoteObject | None:
        """The size and tail of the stored file, with `whole` also its sha256; None if there is none.

        Raises HttpError. A store that knows no ranges sends all of it, which is read only if it has the
        expected `size`; otherwise the tail is empty.
        """
        headers = {} if whole else {"Range": f"bytes=-{TAIL}"}

        def consume(response: httpx.Response) -> RemoteObject:
            if response.status_code == _PARTIAL:
                first, total = _content_range(response)
                tail = b"".join(_chunks(response, deadline, limit=TAIL))
                if first + len(tail) != total:
                    raise _unusable(response)
                return RemoteObject(total, tail, None, _md5(response))
            announced = response.headers.get("Content-Length", "")
            if size is not None and announced.isdecimal() and int(announced) != size:
                return RemoteObject(int(announced), b"", None, _md5(response))
            return _read_all(_chunks(response, deadline), _md5(response))

        try:
            return self._exchange("GET", link, deadline, consume, headers=headers, renewals=renewals)
        except HttpError as error:
            if error.status in _ABSENT:
                return None
            raise

    def read(self, link: PresignedUrl, limit: int, deadline: Deadline, *, renewals: int = 0) -> bytes | None:
        """The content of a small file, cut off after `limit` bytes; None if it is not there."""

        def consume(response: httpx.Response) -> bytes:
            return b"".join(_chunks(response, deadline, limit=limit))[:limit]

        try:
            return self._exchange("GET", link, deadline, consume, renewals=renewals)
        except HttpError as error:
            if error.status in _ABSENT:
                return None
            raise

    def read_range(self, link: PresignedUrl, first: int, size: int, deadline: Deadline) -> bytes:
        """Read `size` bytes from offset `first`; raises HttpError if the store does not serve exactly these."""

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

    def save(
        self, link: PresignedUrl, path: Path, deadline: Deadline, progress: Callable[[int], None]
    ) -> str | None:
        """Download the stored file; returns its sha256, hexadecimal, or None if there is none.

        Raises HttpError, StorageError. `progress` gets the number of bytes that have come so far.
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
        except HttpError as error:
            if error.status in _ABSENT:
                return None
            raise

    def _exchange(
        self,
        method: str,
        link: PresignedUrl,
        deadline: Deadline,
        consume: Callable[[httpx.Response], T],
        *,
        headers: Mapping[str, str] | None = None,
        body: Iterable[bytes] | None = None,
        renewals: int = 0,
    ) -> T:
        renewed = 0

        def once() -> T:
            nonlocal renewed
            while True:
                deadline.check()
                try:
                    return self._once(method, link.url, deadline, consume, headers or {}, body)
                except HttpError as failure:
                    if not failure.expired:
                        raise
                    if renewed == renewals:
                        raise (_refused(failure, renewed + 1) if renewed else failure) from None
                renewed += 1
                link.renew()

        return http.retrying(once, deadline=deadline)

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
        timeout = httpx.Timeout(min(_STALL_SECONDS, left), connect=min(_CONNECT_SECONDS, left))
        # Ranges must refer to the stored bytes, not to a compressed encoding of them.
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            with self._client.stream(method, url, headers=headers, content=body, timeout=timeout) as response:
                if not response.is_success:
                    raise _refusal(response)
                return consume(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise HttpError("the address that Dagster Cloud gave for it is not a URL") from None
        except httpx.HTTPError as error:
            raise http.network_error(error, _host(url)) from None


def file_content(path: Path, size: int, sha256: str, progress: Callable[[int], None]) -> Iterator[bytes]:
    """The bytes of a file, hashed on the way; the last chunk is only yielded if all bytes have this sha256.

    So a file that changes meanwhile never arrives complete. Raises HttpError. `progress` gets the number of bytes
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


class ChangedError(HttpError):
    """A file on this disk is not what was built."""


def changed(path: Path) -> ChangedError:
    """The error of a file that is not what was built."""
    return ChangedError(
        f"`{path}` was changed after it was built",
        remedy="Build it again, and let nothing else write into the output directory meanwhile",
    )


def unreadable(path: Path, error: OSError) -> ChangedError:
    """The error of a file that is missing or unreadable."""
    return ChangedError(
        f"`{path}` cannot be read: {error.strerror or type(error).__name__}",
        remedy="Build it again, and let nothing else write into the output directory meanwhile",
    )


def _refused(failure: HttpError, urls: int) -> HttpError:
    return HttpError(
        f"{failure} to each of {urls} presigned URLs",
        status=failure.status,
        remedy="Check that no proxy or firewall between this machine and that host forbids it, then run it again",
    )


class _Body:
    """The request body for httpx, which can be iterated again after a redirection."""

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
    """Read the rest of a response, so that the connection can be used again."""
    for _ in itertools.islice(response.iter_raw(), _PIECES):
        pass


def _md5(response: httpx.Response) -> str | None:
    """The ETag, if it can be the MD5 of the content: for a multipart upload it is not, and has a dash.

    Source: Amazon S3 API, common response headers.
    """
    match = _MD5_ETAG.fullmatch(response.headers.get("ETag", ""))
    return match[1].lower() if match else None


def _read_all(chunks: Iterable[bytes], md5: str | None) -> RemoteObject:
    digest = hashlib.sha256()
    size = 0
    tail = b""
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        tail = (tail + chunk)[-TAIL:]
    return RemoteObject(size, tail, digest.hexdigest(), md5)


def _content_range(response: httpx.Response) -> tuple[int, int]:
    """Where a partial response begins, and the size of the whole."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match:
        raise _unusable(response)
    return int(match[1]), int(match[2])


def _unusable(response: httpx.Response) -> HttpError:
    return HttpError(f"`{response.url.host}` sends an unexpected response", transient=True)


def _refusal(response: httpx.Response) -> HttpError:
    """The error for an unsuccessful response; of its text only the error code of Amazon S3 is shown."""
    start = b""
    # A store that refuses a file early may cut the connection while its text is still on the way.
    with contextlib.suppress(httpx.HTTPError):
        for chunk in response.iter_raw():
            start += chunk
            if len(start) >= _ERROR_BODY:
                break
    match = _ERROR_CODE.search(start)
    code = match[1].decode() if match else ""
    error = http.refused(response, response.url.host, code)
    error.transient |= code in _TRANSIENT_CODES
    status = response.status_code
    error.expired = status == _FORBIDDEN or (status == _BAD_REQUEST and code == "ExpiredToken")
    return error


def _host(url: str) -> str:
    try:
        return httpx.URL(url).host
    except httpx.InvalidURL:
        return ""
