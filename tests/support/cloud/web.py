"""A threaded HTTP server on loopback whose connections can be broken on purpose and end when it is closed."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_SECONDS = 600
"""Longer than any test: what hangs ends when the server is closed."""

_PIECE = 1 << 16


class Throttle:
    """A network on the way to the server, for measurements.

    :param latency: seconds of a round trip, which a new connection and each request cost.
    :param bits_per_second: of all connections together.
    """

    def __init__(self, latency: float, bits_per_second: float) -> None:
        self.latency = latency
        self._seconds_per_byte = 8 / bits_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def transfer(self, size: int) -> None:
        """Take the time of so many bytes."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size * self._seconds_per_byte
            wait = self._free_at - time.monotonic()
        time.sleep(max(wait, 0))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection; subclasses say what to."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: the second would wait for the client's delayed acknowledgement, 40 ms.
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        """Note the connection, so that the server can end it."""
        super().setup()
        self.server.connections.add(self.connection)
        if throttle := self.server.throttle:
            time.sleep(throttle.latency)
        if self.server.closing.is_set():
            # It came too late to be ended with the others.
            self.connection.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """Forget the connection."""
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the server's log of requests has it."""

    def header_map(self) -> dict[str, str]:
        """The headers of the request."""
        return dict(self.headers.items())

    def announced(self) -> int:
        """How many bytes the body of the request has."""
        return int(self.headers.get("Content-Length") or 0)

    def body(self, size: int | None = None) -> bytes:
        """The body of the request, or so many bytes of it; less if the client goes away."""
        wanted = self.announced() if size is None else size
        throttle = self.server.throttle
        if throttle is None:
            return self.rfile.read(wanted)
        pieces = []
        while wanted and (piece := self.rfile.read(min(wanted, _PIECE))):
            throttle.transfer(len(piece))
            wanted -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def reply(
        self,
        status: int,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        sent: int | None = None,
    ) -> None:
        """Answer.

        :param headers: Content-Length is added unless it is there (as in an answer to HEAD).
        :param sent: so many bytes of the content only, then the end of the connection.
        """
        if throttle := self.server.throttle:
            time.sleep(throttle.latency)
            throttle.transfer(len(content[:sent]))
        given = {name.title(): value for name, value in (headers or {}).items()}
        fields = {"Content-Type": "text/plain", "Content-Length": str(len(content)), **given}
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            if self.command != "HEAD":
                self.wfile.write(content[:sent])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if sent is not None:
            self.close_connection = True

    def reset(self) -> None:
        """End the connection with a RST, as a crashed peer or an impatient firewall does."""
        self.server.connections.discard(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Not close(): the reading file shares the socket and would keep it open.
        os.close(self.connection.detach())
        self.close_connection = True

    def hang(self) -> None:
        """Never answer."""
        self.server.hanging.set()
        self.server.closing.wait(_SECONDS)
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    # Closing waits for the handlers: a test must not leave threads behind.
    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, handler: type[Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.closing = threading.Event()
        self.hanging = threading.Event()
        self.connections: set[socket.socket] = set()
        self.throttle: Throttle | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the game; anything else is an error of the test server."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class WebServer:
    """Serves until the end of the `with` block."""

    def __init__(self, handler: type[Handler], throttle: Throttle | None = None) -> None:
        self._server = _Server(handler)
        self._server.throttle = throttle
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def hanging(self) -> threading.Event:
        """Set once a request hangs."""
        return self._server.hanging

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
