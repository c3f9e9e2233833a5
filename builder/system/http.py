"""HTTP for every part of the builder: one client, one set of certificates, one retry policy, errors as text.

Dagster Cloud, package indexes, the store of PEX files, container registries and GitHub are reached through this
module, so that one proxy and one certificate setting carry a whole run.
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
"""How often a request is sent at most."""

PAUSE: float = 0.5
"""Seconds: the pause after the n-th attempt is between half and all of this times 2**n."""

_LONGEST_PAUSE: Final = 20.0
_KEPT: Final = 55.0
"""Seconds that an idle connection is kept; the load balancers of AWS close it after 60."""

_CLIENT_ERRORS: Final = frozenset({408, 409, 425, 429})
_SERVER_ERRORS: Final = range(500, 600)

_REMEDY_TLS: Final = (
    "If a proxy opens TLS on the way, set SSL_CERT_FILE to a file that holds the proxy's certificate authority"
)
_REMEDY_PROXY: Final = "Check HTTPS_PROXY and NO_PROXY"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificates are trusted.

    :param authorities: files or directories of certificate authorities that replace those of the system.
    :param client_certificate: a file with a private key and its certificate, or empty.
    """

    authorities: tuple[str, ...] = ()
    client_certificate: str = ""


class HttpError(Exception):
    """Why a request failed. Its text never contains a URL: a presigned one grants access.

    :param status: of the response; None if there was none.
    :param transient: the same request may succeed later.
    :param expired: a new presigned URL may help.
    :param unsent: the server cannot have received the request.
    :param timed_out: no answer came in time; the server may still be working on the request.
    :param retry_after: seconds that the server asks to be left alone for.
    :param detail: what the server says of it, if that may be shown.
    :param remedy: what to do, where it is something else than to try again.
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
    """The end of the seconds that something may take in all, some of which may be spent already."""

    def __init__(self, seconds: float, *, spent: float = 0) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds - spent

    def left(self) -> float:
        """Seconds that are left; 0 or less when it has passed."""
        return self._end - time.monotonic()

    def check(self) -> None:
        """Raise HttpError if it has passed, or if the builder was asked to stop."""
        if process.stopping.is_set():
            raise HttpError("it was stopped")
        if self.left() <= 0:
            raise self.passed()

    def passed(self, reason: str = "") -> HttpError:
        """The error of what did not end in time, and what kept it."""
        because = f": {reason}" if reason else ""
        return HttpError(f"it was not done within the {self._seconds:g} seconds that it may take{because}")


def environment_trust() -> Trust:
    """What the environment says of certificates; any one of its variables is enough.

    `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` (or else `CURL_CA_BUNDLE`) add up, as uv and pip need it.
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
    """An HTTP client that threads may share and that keeps its connections.

    :param connections: how many there are at most.
    :param trust: None for what the environment says.
    :param proxy: a URL, perhaps with credentials, or empty for what the environment says.
    :param insecure_hosts: `host` or `host:port` whose certificates are not checked.

    Raises NetworkError if the certificates cannot be read or the proxy is none.
    """
    # They log each URL at the level INFO, and somebody's configuration may have that printed.
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
        # The message would quote the proxy's URL, perhaps with its password.
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
            # What requests takes, and so pip: a file, or a directory that `openssl rehash` has prepared.
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
    # The smallest images have no certificates of their own.
    if not trust.authorities and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def retrying(
    send: Callable[[], T],
    *,
    attempts: int = ATTEMPTS,
    deadline: Deadline | None = None,
) -> T:
    """The result of `send`, called again after pauses as long as it raises a transient HttpError.

    Raises the last HttpError, which says how often it was tried.
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
    """Seconds to wait after so many attempts that failed."""
    # Jitter, so that all who were turned away do not come back at the same moment.
    longest = min(_LONGEST_PAUSE, PAUSE * 2**tries)
    return random.uniform(longest / 2, longest)  # noqa: S311  (not for secrets)


def _changed(error: HttpError, text: str) -> HttpError:
    """The same error, not to be tried again, with another text."""
    return HttpError(
        text,
        status=error.status,
        unsent=error.unsent,
        timed_out=error.timed_out,
        detail=error.detail,
        remedy=error.remedy,
    )


def is_transient(status: int) -> bool:
    """Whether a request that was answered like this may succeed later."""
    return status in _CLIENT_ERRORS or status in _SERVER_ERRORS


def refused(response: httpx.Response, host: str, reason: str = "", *, detail: str | None = None) -> HttpError:
    """The error of a response that is no success.

    :param reason: what the server says of it in a few words, if that may be shown.
    :param detail: the same at length.
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
    """The seconds that a Retry-After header asks for: it holds them, or a date. 0 for anything else."""
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
    """What went wrong on the way to a host, as text of our own: that of httpx may contain the URL.

    :param error: what httpx raised.
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
    """What the operating system said; httpcore hides it as a mere context."""
    while error:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
