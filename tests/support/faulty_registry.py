"""A container registry in this process, which can fail on purpose (distribution-spec 1.1).

with serving_faulty_registry() as registry:
    registry.inject("PATCH", "/blobs/uploads/", Cut(after=1000), times=1)
    registry.inject("PUT", "/manifests/", Status(429, retry_after=1))
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import ssl
import struct
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.damage import damaged

USER, PASSWORD = "pusher", "s3cret-password"


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with an error."""

    code: int
    error: str = "UNKNOWN"
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """Take so many bytes of the body, keep them, and cut the connection."""

    after: int


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Do as asked, with other bytes."""


@dataclass(frozen=True, slots=True)
class Forget:
    """Say that it was done, and do nothing."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Say that it was done, and keep other bytes under the digest of the right ones."""


Fault = Status | Cut | Corrupt | Forget | Damage


@dataclass(slots=True)
class _Rule:
    method: str
    part: str
    fault: Fault
    times: int
    after: int


@dataclass(slots=True)
class FaultyRegistry:
    """What it holds, what it was asked, and what it does wrong.

    :param requests: method and path of each request.
    :param logins: the scopes of each token that was asked for.
    :param token_uses: how often a token is good; None for ever.
    :param mounts: whether it takes blobs over from other repositories.
    """

    host: str = ""
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    manifests: dict[str, dict[str, tuple[bytes, str]]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    logins: list[list[str]] = field(default_factory=list)
    token_uses: int | None = None
    mounts: bool = True
    received: int = 0
    _rules: list[_Rule] = field(default_factory=list)
    _tokens: dict[str, int | None] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def inject(self, method: str, part: str, fault: Fault, *, times: int = 1 << 30, after: int = 0) -> None:
        """Have requests fail whose path has a part, `times` times, when `after` of them went well."""
        self._rules.append(_Rule(method, part, fault, times, after))

    def due(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.method == method and rule.part in path and rule.times:
                    if rule.after:
                        rule.after -= 1
                        continue
                    rule.times -= 1
                    return rule.fault
        return None

    def tags(self, repository: str) -> set[str]:
        """The tags of a repository."""
        return {name for name in self.manifests.get(repository, {}) if not name.startswith("sha256:")}

    def heal(self) -> None:
        """From now on everything goes well."""
        self._rules.clear()

    def assert_whole(self, repository: str) -> None:
        """What it holds are the bytes that their digests say."""
        known = self.manifests[repository].items()
        contents = {name: content for name, (content, _) in known if name.startswith("sha256:")}
        for digest, content in [*self.blobs[repository].items(), *contents.items()]:
            assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"

    def token(self) -> str:
        with self._lock:
            token = uuid.uuid4().hex
            self._tokens[token] = self.token_uses
            return token

    def accepts(self, token: str) -> bool:
        with self._lock:
            left = self._tokens.get(token, 0)
            if left == 0:
                return False
            self._tokens[token] = None if left is None else left - 1
            return True

    def count(self, method: str, part: str) -> int:
        """How many requests there were of a kind."""
        return sum(each == method and part in path for each, path in self.requests)


@contextlib.contextmanager
def serving_faulty_registry(certificate: tuple[str, str] | None = None) -> Iterator[FaultyRegistry]:
    """A registry that serves until the end of the block.

    :param certificate: files of a certificate and its key, to serve over TLS.
    """
    made = FaultyRegistry()

    class Handler(_Handler):
        registry = made

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        made.host = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    registry: FaultyRegistry

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self._answer()
            self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(parts.query)
        if parts.path == "/token":
            self._token(query)
            return
        fault = self.registry.due(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if isinstance(fault, Cut):
            self._keep(parts.path, self.rfile.read(min(fault.after, length)))
            self._cut()
            return
        body = self.rfile.read(length)
        self.registry.received += len(body)
        self.registry.requests.append((self.command, self.path))
        given = self.headers.get("Authorization", "")
        if not self.registry.accepts(given.removeprefix("Bearer ")):
            challenge = f'Bearer realm="http://{self.registry.host}/token",service="test"'
            self._send(401, _errors("UNAUTHORIZED"), {"WWW-Authenticate": challenge})
            return
        if isinstance(fault, Status):
            extra = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._send(fault.code, _errors(fault.error), extra)
            return
        match = re.fullmatch(r"/v2/(.+?)/(manifests|blobs|blobs/uploads)/([^/]*)", parts.path)
        if match is None:
            self._send(404, _errors("NAME_INVALID"))
            return
        kind = {"manifests": self._manifest, "blobs": self._blob, "blobs/uploads": self._upload}[match[2]]
        kind(match[1], match[3], query, body, fault)

    def _token(self, query: dict[str, list[str]]) -> None:
        self.registry.logins.append(query.get("scope", []))
        fault = self.registry.due("GET", "/token")
        known = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if isinstance(fault, Status):
            self._send(fault.code, _errors(fault.error))
        elif self.headers.get("Authorization") != known:
            self._send(401, _errors("UNAUTHORIZED"))
        else:
            self._send(200, json.dumps({"token": self.registry.token()}).encode())

    def _blob(self, repository: str, digest: str, _query: object, _body: bytes, fault: Fault | None) -> None:
        content = self.registry.blobs.get(repository, {}).get(digest)
        if content is None:
            self._send(404, _errors("BLOB_UNKNOWN"))
            return
        if isinstance(fault, Corrupt):
            content = bytes(byte ^ 1 for byte in content)
        self._send(200, content)

    def _upload(
        self, repository: str, upload: str, query: dict[str, list[str]], body: bytes, fault: Fault | None
    ) -> None:
        registry, place = self.registry, f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST":
            self._begin(repository, query, fault)
            return
        held = registry.uploads.get(upload)
        if held is None:
            self._send(404, _errors("BLOB_UPLOAD_UNKNOWN"))
            return
        if self.command == "PATCH":
            start = int(self.headers["Content-Range"].partition("-")[0])
            if start != len(held):
                self._send(416, b"")
                return
        held += body
        if self.command == "PUT":
            digest = query["digest"][0]
            content = bytes(held) + (b"x" if isinstance(fault, Corrupt) else b"")
            del registry.uploads[upload]
            if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
                self._send(400, _errors("DIGEST_INVALID"))
                return
            if not isinstance(fault, Forget):
                kept = damaged(content) if isinstance(fault, Damage) else content
                registry.blobs.setdefault(repository, {})[digest] = kept
            self._send(201, b"", {"Location": f"/v2/{repository}/blobs/{digest}"})
            return
        if self.command == "DELETE":
            del registry.uploads[upload]
        code = 202 if self.command == "PATCH" else 204
        self._send(code, b"", {"Location": place + upload, "Range": f"0-{max(len(held) - 1, 0)}"})

    def _begin(self, repository: str, query: dict[str, list[str]], fault: Fault | None) -> None:
        registry, place = self.registry, f"/v2/{repository}/blobs/uploads/"
        source = registry.blobs.get((query.get("from") or [""])[0], {})
        digest = (query.get("mount") or [""])[0]
        if registry.mounts and digest in source:
            if not isinstance(fault, Forget):
                registry.blobs.setdefault(repository, {})[digest] = source[digest]
            self._send(201, b"", {"Location": f"/v2/{repository}/blobs/{digest}"})
            return
        upload = uuid.uuid4().hex
        registry.uploads[upload] = bytearray()
        self._send(202, b"", {"Location": place + upload})

    def _manifest(self, repository: str, reference: str, _query: object, body: bytes, fault: Fault | None) -> None:
        known = self.registry.manifests.setdefault(repository, {})
        if self.command == "PUT":
            document = json.loads(body)
            here = self.registry.blobs.get(repository, {})
            blobs = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
            if missing := [blob["digest"] for blob in blobs if blob["digest"] not in here]:
                self._send(400, _errors("MANIFEST_BLOB_UNKNOWN", str(missing)))
                return
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if not isinstance(fault, Forget):
                kept = damaged(body) if isinstance(fault, Damage) else body
                entry = (kept, self.headers["Content-Type"])
                known[digest] = known[reference] = entry
            self._send(201, b"", {"Docker-Content-Digest": digest})
            return
        found = known.get(reference)
        if found is None:
            self._send(404, _errors("MANIFEST_UNKNOWN"))
            return
        content = found[0] + (b" " if isinstance(fault, Corrupt) else b"")
        self._send(200, content, {"Content-Type": found[1]})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _keep(self, path: str, part: bytes) -> None:
        """What has arrived of an upload before the connection breaks."""
        held = self.registry.uploads.get(path.rpartition("/")[2])
        if held is not None and self.command == "PATCH":
            held += part
        self.registry.received += len(part)

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError, ValueError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _errors(code: str, message: str = "it says so") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()
