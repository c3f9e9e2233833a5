"""Uploading a blob to a container registry in chunks; after a failure, received chunks are not sent again."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.oci.connection import Connection
from builder.system import http

if TYPE_CHECKING:
    import httpx

Content = bytes | Path
Progress = Callable[[int], None]
"""Called with the number of bytes of a blob transferred so far; restarts from zero with each retry."""

CHUNK: int = 16 << 20
"""Chunk size in bytes. Amazon's registry accepts chunks of 5 MB to 20 MB."""

_OK: Final = 200
_CREATED: Final = 201
_ACCEPTED: Final = 202
_NO_CONTENT: Final = 204


class BlobUpload:
    """One chunked upload of a blob."""

    def __init__(
        self, connection: Connection, digest: str, content: Content, progress: Progress, deadline: http.Deadline
    ) -> None:
        self._connection, self._digest, self._content = connection, digest, content
        self._progress, self._deadline = progress, deadline
        self._size = content.stat().st_size if isinstance(content, Path) else len(content)
        self._place = ""
        self._sent = 0
        self._certain = True

    def send(self) -> None:
        """Send the blob; raises HttpError."""
        self._progress(0)
        begun = self._retrying("POST", "/blobs/uploads/", {}, b"", (_ACCEPTED,))
        self._place = self._connection.place(begun)
        if self._size <= CHUNK:
            self._finish(self._read())
            return
        while self._sent < self._size:
            http.retrying(self._send_piece, deadline=self._deadline)
        self._finish(b"")

    def _send_piece(self) -> None:
        if not self._certain:
            self._ask_how_far()
        piece = self._read()
        if piece:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{self._sent}-{self._sent + len(piece) - 1}",
            }
            self._certain = False
            answer = self._connection.send("PATCH", self._place, headers, piece, expected=(_ACCEPTED, _NO_CONTENT))
            self._certain = True
            self._place = self._connection.place(answer)
            self._sent += len(piece)
            self._progress(self._sent)

    def _ask_how_far(self) -> None:
        """After a failed chunk, ask the registry how many bytes it has received."""
        answer = self._connection.send("GET", self._place, expected=(_NO_CONTENT, _ACCEPTED, _OK))
        match = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", ""))
        # For an upload without bytes, registries answer `0-0`, and some `0--1`.
        arrived = int(match[1]) + 1 if match and match[1] != "0" else 0
        self._sent = min(arrived, self._size)
        if "Location" in answer.headers:
            self._place = self._connection.place(answer)
        self._certain = True

    def _finish(self, rest: bytes) -> None:
        query = ("&" if "?" in self._place else "?") + urllib.parse.urlencode({"digest": self._digest})
        headers = {"Content-Type": "application/octet-stream"}
        self._retrying("PUT", self._place + query, headers, rest, (_CREATED,))
        self._progress(self._size)

    def _retrying(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        expected: tuple[int, ...],
    ) -> httpx.Response:
        return http.retrying(
            lambda: self._connection.send(method, url, headers, content, expected=expected),
            deadline=self._deadline,
        )

    def _read(self) -> bytes:
        if isinstance(self._content, bytes):
            return self._content[self._sent : self._sent + CHUNK]
        try:
            with self._content.open("rb") as stream:
                stream.seek(self._sent)
                return stream.read(CHUNK)
        except OSError as error:
            raise http.HttpError(f"`{self._content}` cannot be read: {error.strerror or error}") from error
