"""A real container registry on loopback: Debian's `docker-registry`, with a login by token as ghcr.io has it.

Everybody may pull; only the user `ci` with its password may push.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from builder.oci.layout import DOCKER, INDEX, OCI

USER, PASSWORD = "ci", "s3cret-token"

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class ContainerRegistry:
    """A registry that is serving.

    :param host: with its port.
    :param realm: URL of its token server.
    :param logins: the user and the repositories' scope of each token that was asked for.
    """

    host: str
    realm: str
    logins: list[tuple[str, str]] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        """What the registry answers to somebody who has not logged in."""
        repository = re.split(r"/(?:manifests|blobs|tags|referrers)/", path)[0]
        query = {"service": "test", "scope": f"repository:{repository}:pull"}
        token = httpx.get(self.realm, params=query, timeout=_SECONDS).json()["token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": f"{INDEX}, {OCI.manifest}, {DOCKER.manifest}"}
        return httpx.get(f"http://{self.host}/v2/{path}", headers=headers, timeout=_SECONDS)

    def document(self, path: str) -> dict[str, Any]:
        """A manifest, or another answer in JSON; fails if there is none."""
        found: dict[str, Any] = self.get(path).raise_for_status().json()
        return found

    def tags(self, repository: str) -> set[str]:
        answer = self.get(f"{repository}/tags/list")
        return set() if answer.status_code == 404 else set(answer.json()["tags"] or ())


@contextmanager
def serving_containers(directory: Path) -> Iterator[ContainerRegistry]:
    """A registry that serves until the end of the block and keeps its data in `directory`."""
    key, certificate = _key_and_certificate()
    bundle = directory / "certificate.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    seen: list[tuple[str, str]] = []

    class Handler(_TokenHandler):
        private_key = key
        chain = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        logins = seen

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        realm = f"http://127.0.0.1:{server.server_address[1]}/token"
        port = _free_port()
        registry = ContainerRegistry(f"127.0.0.1:{port}", realm, seen)
        configuration = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
            "http": {"addr": registry.host},
            "auth": {
                "token": {"realm": realm, "service": "test", "issuer": "test", "rootcertbundle": str(bundle)}
            },
        }
        # JSON is YAML too.
        (directory / "registry.yml").write_text(json.dumps(configuration), encoding="utf-8")
        with (directory / "registry.log").open("wb") as log:
            # Without an environment: it takes each REGISTRY_… for a setting.
            process = subprocess.Popen(
                ["/usr/bin/docker-registry", "serve", directory / "registry.yml"], env={}, stdout=log, stderr=log
            )
            try:
                _wait_for(port, process, directory / "registry.log")
                yield registry
            finally:
                process.terminate()
                process.wait()
                server.shutdown()


class _TokenHandler(BaseHTTPRequestHandler):
    """The token server (distribution's "Token Authentication Implementation")."""

    private_key: rsa.RSAPrivateKey
    chain: str
    logins: list[tuple[str, str]]

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        given = self.headers.get("Authorization", "")
        known = given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        scopes = " ".join(query.get("scope", [])).split()
        self.logins.append((USER if known else "", " ".join(scopes)))
        if given and not known:
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        now = int(time.time())
        claims = {
            "iss": "test",
            "sub": USER if known else "",
            "aud": query["service"][0],
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
            "access": [_access(scope, known=known) for scope in scopes],
        }
        token = jwt.encode(claims, self.private_key, algorithm="RS256", headers={"x5c": [self.chain]})
        body = json.dumps({"token": token, "expires_in": 300}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _access(scope: str, *, known: bool) -> dict[str, object]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    allowed = [action for action in actions.split(",") if known or action == "pull"]
    return {"type": kind, "name": name, "actions": allowed}


def _key_and_certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(days=1))
    return key, builder.not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError("the registry does not answer")
