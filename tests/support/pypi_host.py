"""A program that serves package indexes with pypiserver, each at a port of its own.

For each line of stdin, a JSON object with `directory`, `log`, `user`, `password` and `certificate` (a PEM file
with its key, or empty), it starts an index and answers with its port. Paths that are asked for go to the log.

It is a program, and not a part of the tests' process, because pypiserver's web framework changes how modules are
imported.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pypiserver


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that does not trust the certificate hangs up."""


class Handler(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing: the log has it."""


def serve(wish: dict[str, str]) -> int:
    """Start an index; returns its port."""
    expected = (wish["user"], wish["password"])
    index = pypiserver.app(
        roots=[wish["directory"]],
        authenticate=["list", "download"] if wish["password"] else [],
        auther=lambda *given: given == expected,
        disable_fallback=True,
        hash_algo="sha256",
        log_stream=None,
    )

    def remembering(environ: dict[str, Any], start: Callable[..., Any]) -> Any:  # noqa: ANN401  (WSGI)
        with open(wish["log"], "a", encoding="utf-8") as log:  # noqa: PTH123  (one short write)
            log.write(environ["PATH_INFO"] + "\n")
        return index(environ, start)

    server = make_server("127.0.0.1", 0, remembering, Server, Handler)
    if wish["certificate"]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(wish["certificate"])
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(f"{serve(json.loads(line))}\n")
        sys.stdout.flush()
