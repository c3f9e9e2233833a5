"""A small package index on loopback (PEP 503 pages as PEP 691 JSON, PEP 658 metadata) that can misbehave.

It serves the wheels and sdists of one directory, with their hashes, remembers what it was asked for, and does to
each file what a network does now and then.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import re
import ssl
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

USER = "reader"
_SECONDS = 60


class Fault(enum.Enum):
    """What the index does instead of answering as it should."""

    NOT_FOUND = 404
    BROKEN = 500
    BUSY = 503
    CORRUPT = "as many bytes as there should be, but others"
    CUT_OFF = "half of the bytes, then the end of the connection"
    STALL = "half of the bytes, then nothing until the index is closed"


@dataclass(slots=True)
class Index:
    """An index that is serving.

    :param directory: of the wheels and sdists; may grow while it serves.
    :param password: if there is one, every request has to bring it, for USER.
    :param uploaded: when a file was uploaded (RFC 3339), by its name; for others that is not said.
    :param yanked: the names of files that were withdrawn.
    """

    directory: Path
    port: int = 0
    password: str = ""
    scheme: str = "http"
    uploaded: dict[str, str] = field(default_factory=dict)
    yanked: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)
    _faults: dict[str, tuple[Fault, int | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://127.0.0.1:{self.port}/simple/"

    @property
    def full_url(self) -> str:
        """With the password, if there is one."""
        return self.url.replace("://", f"://{USER}:{self.password}@") if self.password else self.url

    def misbehave(self, name: str, fault: Fault, times: int | None = None) -> None:
        """Do that with whatever is asked for whose path ends so: so many times, or always."""
        with self._lock:
            self._faults[name] = (fault, times)

    def downloads(self) -> list[str]:
        """The names of the files that were asked for, metadata not counted, in the order of the requests."""
        paths = (path for path in list(self.requests) if path.startswith("/files/"))
        return [path.removeprefix("/files/") for path in paths if not path.endswith(".metadata")]

    def pages(self) -> list[str]:
        """The names of the projects whose pages were asked for."""
        return [path.split("/")[2] for path in list(self.requests) if path.startswith("/simple/")]

    def asked_for(self, name: str) -> bool:
        """Whether anything of a project was asked for: its page or a file."""
        return any(f"/{name}" in path for path in list(self.requests))

    def wait_until_stalled(self) -> None:
        assert self.stalled.wait(_SECONDS), f"nobody asked for what stalls; asked for: {self.requests}"

    def due(self, path: str) -> Fault | None:
        """Note a request; the fault that is due for it."""
        with self._lock:
            self.requests.append(path)
            for name, (fault, times) in self._faults.items():
                if path.endswith(name) and times != 0:
                    self._faults[name] = (fault, None if times is None else times - 1)
                    return fault
        return None


@contextmanager
def serving(directory: Path, *, password: str = "", certificate: Path | None = None) -> Iterator[Index]:
    """An index that serves until the end of the block.

    :param certificate: a PEM file with its key, for TLS.
    """
    directory.mkdir(exist_ok=True)
    index = Index(directory, password=password, scheme="https" if certificate else "http")

    class Handler(_Handler):
        served = index

    with _Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        index.port = server.server_address[1]
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield index
        finally:
            index.closing.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, _request: object, _address: object) -> None:
        """Clients that go away are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    served: Index
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        fault = self.served.due(path)
        expected = base64.b64encode(f"{USER}:{self.served.password}".encode()).decode()
        given = self.headers.get("Authorization")
        if self.served.password and given != f"Basic {expected}":
            self._answer(403 if given else 401, b"who are you?")
            return
        content = self._page(path) if path.startswith("/simple/") else self._file(path)
        if fault in {Fault.NOT_FOUND, Fault.BROKEN, Fault.BUSY}:
            self._answer(fault.value, b"no")
        elif content is None:
            self._answer(404, b"no such thing")
        else:
            page = path.startswith("/simple/")
            kind = "application/vnd.pypi.simple.v1+json" if page else "application/octet-stream"
            self._answer(200, content, kind=kind, fault=fault)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: Index.requests has it."""

    def _answer(
        self, status: int, content: bytes, *, kind: str = "text/plain", fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = content[: len(content) // 2]
        try:
            if fault is Fault.CORRUPT:
                self.wfile.write(bytes(byte ^ 0xFF for byte in content))
            elif fault in {Fault.CUT_OFF, Fault.STALL}:
                self.wfile.write(half)
                self.wfile.flush()
                self.close_connection = True
                if fault is Fault.STALL:
                    self.served.stalled.set()
                    self.served.closing.wait(_SECONDS)
            else:
                self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _page(self, path: str) -> bytes | None:
        project = path.split("/")[2]
        found = [file for file in sorted(self.served.directory.iterdir()) if _project(file.name) == project]
        if not found:
            return None
        page = {
            "meta": {"api-version": "1.1"},
            "name": project,
            "versions": sorted({_version(file.name) for file in found}),
            "files": [self._entry(file) for file in found],
        }
        return json.dumps(page).encode()

    def _entry(self, file: Path) -> dict[str, Any]:
        content = file.read_bytes()
        entry: dict[str, Any] = {
            "filename": file.name,
            "url": f"/files/{file.name}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
            "size": len(content),
        }
        if file.name in self.served.uploaded:
            entry["upload-time"] = self.served.uploaded[file.name]
        if file.name in self.served.yanked:
            entry["yanked"] = "broken"
        if file.suffix == ".whl":
            entry["core-metadata"] = {"sha256": hashlib.sha256(_metadata(file)).hexdigest()}
        return entry

    def _file(self, path: str) -> bytes | None:
        name = path.removeprefix("/files/")
        if name.endswith(".whl.metadata"):
            wheel = self.served.directory / name.removesuffix(".metadata")
            return _metadata(wheel) if wheel.is_file() else None
        file = self.served.directory / name
        return file.read_bytes() if file.is_file() else None


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return archive.read(name)


def _project(filename: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"-\d", filename)[0]).lower()


def _version(filename: str) -> str:
    return filename.removesuffix(".tar.gz").split("-")[1]
