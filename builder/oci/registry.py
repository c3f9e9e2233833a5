"""A repository of a container registry, over HTTP (distribution-spec 1.1) with basic or token login."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from builder.errors import PublishError
from builder.oci.layout import DOCKER, INDEX, MANIFEST, digest_of
from builder.resolution.transport import Credentials
from builder.system import http, process

_CONNECTIONS: Final = 10
_TIMEOUT: Final = httpx.Timeout(120, connect=15)
_REFUSED: Final = frozenset({401, 403})
_CHUNK: Final = 1 << 18

_CREATED: Final = 201
_ACCEPTED: Final = 202
_OK: Final = 200
_NOT_FOUND: Final = 404

# Docker Hub's API is not where its name says.
_API_HOSTS: Final = {"docker.io": "registry-1.docker.io"}

Content = bytes | Path
_R = TypeVar("_R")


class Registry:
    """One repository of a registry; a context manager that closes its connections.

    :param host: with its port, if it has one. Loopback hosts are spoken to without TLS, as Docker does.
    :param repository: such as `acme/dagster`.
    :param credentials: None to come as nobody.

    Methods raise PublishError when the registry cannot be reached, or refuses.
    """

    def __init__(self, host: str, repository: str, credentials: Credentials | None) -> None:
        self._host, self._repository, self._credentials = host, repository, credentials
        scheme = "http" if is_loopback(host) else "https"
        self._base = f"{scheme}://{_API_HOSTS.get(host, host)}/v2/{repository}"
        self._authorization = ""
        self._client = http.client(connections=_CONNECTIONS, timeout=_TIMEOUT, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.close()

    def push_blob(self, digest: str, content: Content) -> bool:
        """Have a blob in the repository; returns whether it had to be sent."""
        if self._ask("HEAD", f"/blobs/{digest}", expected=(_OK, _NOT_FOUND)).status_code == _OK:
            return False

        def upload() -> None:
            begun = self._ask("POST", "/blobs/uploads/", expected=(_ACCEPTED,))
            place = urllib.parse.urljoin(str(begun.url), begun.headers.get("Location", ""))
            self._stay_private(place)
            query = ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
            headers = {"Content-Type": "application/octet-stream"}
            self._send_once("PUT", place + query, headers, content, (_CREATED,))

        # An upload that broke off cannot be sent to again: each attempt begins a new one.
        self._retrying(upload)
        return True

    def push_manifest(self, reference: str, content: bytes, media_type: str) -> Mapping[str, str]:
        """Put a manifest under a digest or a tag; returns the headers of the answer."""
        headers = {"Content-Type": media_type}
        answer = self._ask("PUT", f"/manifests/{reference}", headers, content, expected=(_CREATED,))
        return answer.headers

    def manifest(self, reference: str) -> bytes | None:
        """A manifest or an index; None if there is none."""
        headers = {"Accept": f"{INDEX}, {MANIFEST}, {DOCKER.manifest}"}
        answer = self._ask("GET", f"/manifests/{reference}", headers, expected=(_OK, _NOT_FOUND))
        return None if answer.status_code == _NOT_FOUND else answer.content

    def verify(self, reference: str, digest: str) -> None:
        """See that a digest or a tag gives the bytes of `digest`; raises PublishError if not."""
        content = self.manifest(reference)
        if content is None or digest_of(content) != digest:
            got = "nothing" if content is None else f"`{digest_of(content)}`"
            raise PublishError(
                f"`{self._host}/{self._repository}` gives {got} for `{reference}`, which was pushed as `{digest}`",
                remedy="Push again; perhaps somebody else pushed at the same moment",
            )

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        content: Content = b"",
        *,
        expected: tuple[int, ...],
    ) -> httpx.Response:
        return self._retrying(lambda: self._send_once(method, self._base + path, headers or {}, content, expected))

    def _retrying(self, work: Callable[[], _R]) -> _R:
        """Do something that may fail for a moment."""
        try:
            return http.retrying(work)
        except http.HttpError as error:
            raise PublishError(
                f"nothing could be pushed to `{self._host}/{self._repository}`",
                detail=str(error),
                remedy=error.remedy
                or "Check the registry's name and the network, then push again: what arrived is kept",
            ) from error

    def _send_once(
        self, method: str, url: str, headers: Mapping[str, str], content: Content, expected: tuple[int, ...]
    ) -> httpx.Response:
        answer = self._request(method, url, headers, content)
        if answer.status_code == 401 and self._log_in(answer.headers.get("WWW-Authenticate", "")):
            answer = self._request(method, url, headers, content)
        if answer.status_code in expected:
            return answer
        if answer.status_code in _REFUSED:
            raise self._refused()
        raise _unexpected(answer)

    def _request(self, method: str, url: str, headers: Mapping[str, str], content: Content) -> httpx.Response:
        headers = {**headers, **({"Authorization": self._authorization} if self._authorization else {})}
        if isinstance(content, Path):
            headers["Content-Length"] = str(content.stat().st_size)
        body = _chunks(content) if isinstance(content, Path) else content
        if process.stopping.is_set():
            raise http.HttpError("it was stopped")
        try:
            return self._client.request(method, url, headers=headers, content=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, self._host) from error

    def _log_in(self, challenge: str) -> bool:
        """Do what an answer 401 asks for; returns whether that makes another try worth while."""
        kind, _, rest = challenge.partition(" ")
        basic = _basic(self._credentials) if self._credentials else ""
        if kind.lower() == "basic":
            again = bool(basic) and self._authorization != basic
            self._authorization = basic
            return again
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if kind.lower() != "bearer" or "realm" not in asked:
            return False
        self._stay_private(asked["realm"])
        query = {"service": asked.get("service", ""), "scope": f"repository:{self._repository}:pull,push"}
        headers = {"Authorization": basic} if basic else {}
        try:
            answer = self._client.get(asked["realm"], params=query, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, urllib.parse.urlsplit(asked["realm"]).netloc) from error
        if answer.status_code in _REFUSED:
            raise self._refused()
        if answer.status_code != _OK:
            raise _unexpected(answer)
        document = answer.json()
        self._authorization = f"Bearer {document.get('token') or document.get('access_token', '')}"
        return True

    def _stay_private(self, url: str) -> None:
        """Credentials that go to a registry over TLS go nowhere without."""
        if self._base.startswith("https:") and not url.startswith("https:"):
            raise PublishError(f"the registry `{self._host}` wants to be logged in to without TLS, at `{url}`")

    def _refused(self) -> PublishError:
        if self._credentials is None:
            return PublishError(
                f"the registry `{self._host}` lets nobody push to `{self._repository}` who does not log in",
                remedy=f"Run `docker login {self._host}`, or give --username and --password-stdin",
            )
        return PublishError(
            f"the registry `{self._host}` refuses to let `{self._credentials.username}` push to"
            f" `{self._repository}`",
            remedy="Check the user name and the token, and what it permits: in GitHub Actions a job needs"
            " `permissions: packages: write`, and the package must belong to the repository",
        )


def _unexpected(answer: httpx.Response) -> http.HttpError:
    request = answer.request
    return http.refused(answer, request.url.host, f"{request.method} {request.url.path}: {_message(answer)}")


def is_loopback(host: str) -> bool:
    """Whether a registry's host, with or without a port, is this machine."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _message(answer: httpx.Response) -> str:
    """What the registry says of an error (distribution-spec, "Error Codes")."""
    try:
        errors = json.loads(answer.content)["errors"]
        return "; ".join(f"{error['code']}: {error.get('message', '')}" for error in errors)
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
