"""Authenticated requests to one repository of a container registry, with basic or token authentication.

Errors are `http.HttpError`; callers turn them into messages about the failed operation.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import httpx

from builder.errors import PublishError
from builder.oci.reference import DOCKER_HUB
from builder.resolution.transport import Credentials
from builder.system import http, process
from builder.system.loopback import is_loopback

_CONNECTIONS: Final = 8
_LOGINS: Final = 3
"""How often a request is sent at most: a token may expire while another thread uses it."""

_OK: Final = 200
_UNAUTHORIZED: Final = 401

# Docker Hub's API has a host of its own.
_API_HOSTS: Final = {DOCKER_HUB: "registry-1.docker.io"}


class Connection:
    """Sends requests to a repository. Threads may share it; they log in once.

    :param host: with its port, if it has one. Loopback hosts are contacted without TLS, as by Docker.
    :param credentials: None for anonymous access.
    :param scopes: the scopes to request for a token, such as `repository:acme/dagster:pull,push`.
    """

    def __init__(self, host: str, repository: str, credentials: Credentials | None, scopes: Sequence[str]) -> None:
        self.host = host
        self.credentials = credentials
        scheme = "http" if is_loopback(host) else "https"
        self._base = f"{scheme}://{_API_HOSTS.get(host, host)}/v2/{repository}"
        self._scopes = scopes
        self._authorization = ""
        self._login = threading.Lock()
        self._client = http.client(
            connections=_CONNECTIONS, timeout=httpx.Timeout(60, connect=15), follow_redirects=False
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def send(
        self,
        method: str,
        place: str,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        *,
        expected: tuple[int, ...],
    ) -> httpx.Response:
        """Send a request; if the registry requires a login, log in and send it again.

        :param place: a URL, or a path below the repository's URL.
        :param expected: the statuses that are not errors.
        """
        url = place if "://" in place else self._base + place
        for again in reversed(range(_LOGINS)):
            used = self._authorization
            answer = self._request(method, url, headers or {}, content)
            if answer.status_code in expected:
                return answer
            if not (again and answer.status_code == _UNAUTHORIZED and self._log_in(answer, used)):
                raise self._unexpected(answer)
        raise AssertionError

    @contextlib.contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response]:
        """Send a GET request and stream the response."""
        url, headers = self._base + path, {"Accept-Encoding": "identity"}
        try:
            for again in reversed(range(_LOGINS)):
                used = self._authorization
                login = self._with_login(url, headers)
                # Most registries redirect to a blob store on another host, where httpx does not send credentials.
                with self._client.stream("GET", url, headers=login, follow_redirects=True) as answer:
                    if answer.status_code == _OK:
                        yield answer
                        return
                    answer.read()
                    if not (again and answer.status_code == _UNAUTHORIZED and self._log_in(answer, used)):
                        raise self._unexpected(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, self.host) from error

    def place(self, answer: httpx.Response) -> str:
        """The absolute URL of a response's Location header."""
        place = urllib.parse.urljoin(str(answer.url), str(answer.headers.get("Location", "")))
        self._stay_private(place)
        return place

    def _request(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        if process.stopping.is_set():
            raise http.HttpError("it was stopped")
        try:
            return self._client.request(method, url, headers=self._with_login(url, headers), content=content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, self.host) from error

    def _with_login(self, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        same = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(self._base).netloc
        login = {"Authorization": self._authorization} if self._authorization and same else {}
        return {**headers, **login}

    def _log_in(self, answer: httpx.Response, used: str) -> bool:
        """Log in as a 401 response demands; returns whether to send the request again.

        :param used: the refused request's Authorization; another thread may have logged in since.
        """
        with self._login:
            if self._authorization != used:
                return True
            kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
            basic = _basic(self.credentials) if self.credentials else ""
            if kind.lower() == "basic":
                self._authorization = basic
                return bool(basic) and used != basic
            asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            if kind.lower() != "bearer" or "realm" not in asked:
                return False
            self._authorization = f"Bearer {self._token(asked, basic)}"
            return True

    def _token(self, asked: Mapping[str, str], basic: str) -> str:
        realm = asked["realm"]
        self._stay_private(realm)
        query = {"service": asked.get("service", ""), "scope": self._scopes}
        host = urllib.parse.urlsplit(realm).netloc

        def work() -> httpx.Response:
            try:
                answer = self._client.get(realm, params=query, headers={"Authorization": basic} if basic else {})
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise http.network_error(error, host) from error
            if answer.status_code != _OK:
                raise http.refused(answer, host, message(answer))
            return answer

        try:
            document = http.retrying(work).json()
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError):
            raise http.HttpError(f"`{host}` answers the login without a token") from None

    def _stay_private(self, url: str) -> None:
        """Refuse to send a TLS registry's credentials to a URL without TLS."""
        if self._base.startswith("https:") and not url.startswith("https:"):
            raise PublishError(f"the registry `{self.host}` asks for a login without TLS, at `{url}`")

    def _unexpected(self, answer: httpx.Response) -> http.HttpError:
        return http.refused(answer, self.host, message(answer))


def _basic(credentials: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def _errors(answer: httpx.Response) -> list[Mapping[str, object]]:
    try:
        errors = json.loads(answer.content)["errors"]
    except (ValueError, KeyError, TypeError, httpx.ResponseNotRead):
        return []
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def codes(answer: httpx.Response) -> str:
    """The error codes in a response."""
    return " ".join(str(error.get("code", "")) for error in _errors(answer))


def message(answer: httpx.Response) -> str:
    """The registry's error message in a response (distribution-spec, "Error Codes")."""
    said = "; ".join(f"{error.get('code', '')}: {error.get('message', '')}" for error in _errors(answer))
    return said or answer.reason_phrase
