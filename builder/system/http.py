"""The HTTP client of every part of the builder: certificates, proxies, retries and error messages.

All requests to Dagster Cloud, package indexes, the store of PEX files, container registries and GitHub go through
this module, so that one proxy setting and one certificate setting apply to a whole run.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import logging
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import certifi
import httpx

from builder.errors import NetworkError
from builder.system import process

ATTEMPTS: Final = 5
"""The maximum number of attempts for a request."""

PAUSE: float = 0.5
"""Seconds: the pause after the n-th attempt is between half and all of this times 2**n."""

_LONGEST_PAUSE: Final = 20.0
_KEPT: Final = 55.0
"""Seconds that an idle connection is kept open; AWS load balancers close it after 60."""

_CLIENT_ERRORS: Final = frozenset({408, 409, 425, 429})
_SERVER_ERRORS: Final = range(500, 600)

_REMEDY_TLS: Final = (
    "If a proxy opens TLS on the way, set SSL_CERT_FILE to a file that holds the proxy's certificate authority"
)
_REMEDY_PROXY: Final = "Check HTTPS_PROXY and NO_PROXY"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """The certificates to trust, and the client certificate.

    :param authorities: files or directories of certificate authorities that replace those of the system.
    :param client_certificate: a file with a private key and its certificate, or empty.
    """

    authorities: tuple[str, ...] = ()
    client_certificate: str = ""


class HttpError(Exception):
    """Why a request failed. The message never contains a URL, since a presigned URL grants access.

    :param status: of the response; None if there was none.
    :param transient: whether the same request may succeed later.
    :param expired: whether a new presigned URL may help.
    :param unsent: whether it is certain that the server did not receive the request.
    :param timed_out: whether no response came in time; the server may still process the request.
    :param retry_after: seconds to wait, as the server requests.
    :param detail: the server's message, if it may be shown.
    :param remedy: what to do, if it is not just to try again.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        transient: bool = False,
        expired: bool = False,
        unsent: bool = False,
        timed_out: bool = False,
        retry_after: float = 0,
        detail: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.transient = transient
        self.expired = expired
        self.unsent = unsent
        self.timed_out = timed_out
        self.retry_after = retry_after
        self.detail = detail
        self.remedy = remedy


class Deadline:
    """The end of a time limit in seconds, part of which may have been used already."""

    def __init__(self, seconds: float, *, spent: float = 0) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds - spent

    def left(self) -> float:
        """The remaining seconds; 0 or less after the deadline."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Raise HttpError if the deadline has passed, or if the builder is being stopped."""
        if process.stopping.is_set():
            raise HttpError("it was stopped")
        if self.left() <= 0:
            raise self.passed()

    def passed(self, reason: str = "") -> HttpError:
        """Make the error for a passed deadline, with the reason for the delay."""
        because = f": {reason}" if reason else ""
        return HttpError(f"it was not done within the {self._seconds:g} seconds that it may take{because}")


def environment_trust() -> Trust:
    """Read the certificate settings from environment variables; any one of them is enough.

    `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` (or else `CURL_CA_BUNDLE`) are combined: uv reads the first, pip the
    second.
    """
    requests_bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    authorities = filter(None, (os.environ.get("SSL_CERT_FILE"), requests_bundle))
    return Trust(tuple(dict.fromkeys(authorities)), os.environ.get("SSL_CLIENT_CERT", ""))


def client(
    *,
    connections: int,
    timeout: httpx.Timeout,
    trust: Trust | None = None,
    proxy: str = "",
    insecure_hosts: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    follow_redirects: bool = True,
) -> httpx.Client:
    """Make an HTTP client that threads may share and that keeps its connections open.

    :param connections: the maximum number of connections.
    :param trust: None to use the environment's settings.
    :param proxy: a URL, perhaps with credentials; empty to use the environment's proxies.
    :param insecure_hosts: `host` or `host:port` whose certificates are not checked.

    Raises NetworkError if the certificates cannot be read or the proxy's URL is invalid.
    """
    # These libraries log each URL at level INFO, which a logging configuration may print.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    context = _context(environment_trust() if trust is None else trust)
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEPT
    )
    try:
        return httpx.Client(
            follow_redirects=follow_redirects,
            limits=limits,
            timeout=timeout,
            headers=headers,
            verify=context,
            proxy=proxy or None,
            mounts={
                f"all://{host}": httpx.HTTPTransport(verify=False, limits=limits, proxy=proxy or None)
                for host in insecure_hosts
            },
        )
    except (ValueError, ImportError, httpx.InvalidURL):
        # httpx's message quotes the proxy's URL, perhaps with its password.
        raise NetworkError(
            "the proxy that the environment names cannot be used",
            remedy="Correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; `http://HOST:PORT` is the usual form",
        ) from None


@lru_cache
def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context() if not trust.authorities else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    files = (*trust.authorities, trust.client_certificate)
    try:
        for place in trust.authorities:
            # As in requests, and so in pip: a file, or a directory prepared by `openssl rehash`.
            is_directory = Path(place).is_dir()
            context.load_verify_locations(None if is_directory else place, place if is_directory else None)
        if trust.client_certificate:
            context.load_cert_chain(trust.client_certificate)
    except OSError as error:
        raise NetworkError(
            f"the certificates cannot be read: {error.strerror or error}",
            detail=", ".join(f"`{file}`" for file in files if file),
            remedy="Correct SSL_CERT_FILE, REQUESTS_CA_BUNDLE and SSL_CLIENT_CERT, or `cert` and `client-cert` of"
            " pip's configuration",
        ) from error
    # Minimal container images have no certificates.
    if not trust.authorities and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def retrying(
    send: Callable[[], T],
    *,
    attempts: int = ATTEMPTS,
    deadline: Deadline | None = None,
) -> T:
    """Call `send`, and again after a pause if it raises a transient HttpError; returns its result.

    Raises the last HttpError, with the number of attempts in its message.
    """
    tries = 0
    while True:
        try:
            return send()
        except HttpError as error:
            tries += 1
            if not error.transient or attempts == 1:
                raise
            if tries == attempts:
                raise _changed(error, f"{error}; tried {tries} times") from error.__cause__
            pause = max(pause_after(tries), error.retry_after)
            if deadline and pause >= deadline.left():
                seconds = error.retry_after
                asked = f" and asks to be left alone for {seconds:.0f} seconds" if seconds else ""
                raise _changed(error, str(deadline.passed(f"{error}{asked}"))) from error.__cause__
            if process.stopping.wait(pause):
                raise _changed(error, f"{error}; it was stopped") from error.__cause__


def pause_after(tries: int) -> float:
    """The seconds to wait after a number of failed attempts."""
    # Jitter, so that clients that failed together do not retry together.
    longest = min(_LONGEST_PAUSE, PAUSE * 2**tries)
    return random.uniform(longest / 2, longest)  # noqa: S311  (not for secrets)


def _changed(error: HttpError, text: str) -> HttpError:
    """A copy of an error with another text, which is not transient."""
    return HttpError(
        text,
        status=error.status,
        unsent=error.unsent,
        timed_out=error.timed_out,
        detail=error.detail,
        remedy=error.remedy,
    )


def is_transient(status: int) -> bool:
    """Whether a request with this response status may succeed later."""
    return status in _CLIENT_ERRORS or status in _SERVER_ERRORS


def refused(response: httpx.Response, host: str, reason: str = "", *, detail: str | None = None) -> HttpError:
    """Make the error for an unsuccessful response.

    :param reason: the server's message in a few words, if it may be shown.
    :param detail: the full message.
    """
    status = response.status_code
    return HttpError(
        f"`{host}` answered with HTTP {status}" + (f" ({reason})" if reason else ""),
        status=status,
        transient=is_transient(status),
        retry_after=retry_after(response.headers.get("Retry-After", "")),
        detail=detail,
    )


def retry_after(value: str) -> float:
    """The seconds to wait by a Retry-After header, which has seconds or a date; 0 for anything else."""
    text = value.strip()
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    aware = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    return max(0, (aware - dt.datetime.now(dt.UTC)).total_seconds())


def network_error(error: Exception, host: str) -> HttpError:
    """Make the error for a failed connection. Its text is our own, since httpx's may contain the URL.

    :param error: the exception from httpx.
    """
    match error:
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            failure = HttpError("its address is not a URL", unsent=True)
        case httpx.ProxyError():
            text = f"the proxy on the way to `{host}` does not connect to it"
            failure = HttpError(text, transient=True, unsent=True, remedy=_REMEDY_PROXY)
        case httpx.ConnectTimeout():
            failure = HttpError(f"`{host}` cannot be reached: no connection in time", transient=True, unsent=True)
        case httpx.ConnectError():
            failure = _unconnected(_cause(error), host)
        case httpx.WriteTimeout():
            failure = HttpError(f"`{host}` stopped taking data", transient=True)
        case httpx.TimeoutException():
            failure = HttpError(f"`{host}` did not answer in time", transient=True, timed_out=True)
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            failure = HttpError(f"`{host}` cut the connection", transient=True)
        case _:
            failure = HttpError(f"the exchange with `{host}` failed ({type(error).__name__})")
    return failure


def _unconnected(cause: OSError | None, host: str) -> HttpError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"the certificate of `{host}` is not trusted: {cause.verify_message}"
        return HttpError(text, unsent=True, remedy=_REMEDY_TLS)
    if isinstance(cause, ssl.SSLError):
        text = f"the connection to `{host}` is not trusted: TLS fails ({cause.reason or 'no answer'})"
        return HttpError(text, transient=True, unsent=True, remedy=_REMEDY_TLS)
    if isinstance(cause, socket.gaierror):
        text = f"the host `{host}` cannot be found"
        return HttpError(text, transient=True, unsent=True, remedy="Check the name, and the network's DNS")
    reason = os.strerror(cause.errno) if cause and cause.errno else "it does not answer"
    return HttpError(f"`{host}` cannot be reached: {reason}", transient=True, unsent=True)


def _cause(error: BaseException | None) -> OSError | None:
    """The operating system's error, which httpcore leaves in the exception's context."""
    while error:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
