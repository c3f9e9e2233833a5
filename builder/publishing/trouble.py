"""Why a transfer failed, in words that quote no URL: whoever has a presigned one may write.

What may be retried: RFC 9110 and Amazon S3's error codes.
"""

from __future__ import annotations

import contextlib
import email.utils
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from typing import Final

import httpx

_ERROR_BODY: Final = 1 << 12
"""Bytes: how much of the words of an error is read."""

_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403
_TRANSIENT: Final = frozenset({408, 409, 425, 429})
_SERVER_ERRORS: Final = range(500, 600)
_TRANSIENT_CODES: Final = frozenset({"RequestTimeout", "IncompleteBody"})
_OUTDATED_CODES: Final = frozenset({"ExpiredToken"})

_ERROR_CODE: Final = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class TransferError(Exception):
    """Why a transfer failed: words without any URL.

    :param status: what the store answered, if it did.
    :param transient: the same request may well succeed later.
    :param outdated: a new presigned URL may help.
    :param retry_after: seconds that the store asks to be left alone for.
    :param remedy: what to do next, where it is something else than to try again.
    """

    def __init__(
        self,
        words: str,
        *,
        status: int | None = None,
        transient: bool = False,
        outdated: bool = False,
        retry_after: float = 0,
        remedy: str | None = None,
    ) -> None:
        super().__init__(words)
        self.status = status
        self.transient = transient
        self.outdated = outdated
        self.retry_after = retry_after
        self.remedy = remedy


def refusal(response: httpx.Response) -> TransferError:
    """The error of a response that is none of success; of its words only S3's error code is told."""
    start = b""
    # A store that refuses a file early may cut the connection while its words are still on the way.
    with contextlib.suppress(httpx.HTTPError):
        for chunk in response.iter_raw():
            start += chunk
            if len(start) >= _ERROR_BODY:
                break
    match = _ERROR_CODE.search(start)
    code = match[1].decode() if match else ""
    status = response.status_code
    said = f"{response.url.host} answers {status}" + (f" ({code})" if code else "")
    return TransferError(
        said,
        status=status,
        transient=status in _TRANSIENT or status in _SERVER_ERRORS or code in _TRANSIENT_CODES,
        outdated=status == _FORBIDDEN or (status == _BAD_REQUEST and code in _OUTDATED_CODES),
        retry_after=_retry_after(response.headers.get("Retry-After", "")),
    )


def _retry_after(value: str) -> float:
    """The seconds that a Retry-After header asks for: it holds them, or a date."""
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0, (date - datetime.now(UTC)).total_seconds())


def trouble(error: Exception, url: str) -> TransferError:
    """What went wrong on the way, in words of our own: httpx's may quote the URL."""
    try:
        host = httpx.URL(url).host
    except httpx.InvalidURL:
        host = ""
    words, transient = "the address that Dagster Cloud gave for it is no URL", False
    match error:
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            pass
        case httpx.ProxyError():
            words, transient = f"the proxy does not connect to {host}", True
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return _unconnected(_cause(error), host)
        case httpx.WriteTimeout():
            words, transient = f"{host} stopped taking data", True
        case httpx.TimeoutException():
            words, transient = f"{host} does not answer in time", True
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            words, transient = f"{host} cut the connection", True
        case _:
            words = f"the transfer with {host} failed ({type(error).__name__})"
    return TransferError(words, transient=transient)


def _unconnected(cause: OSError | None, host: str) -> TransferError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransferError(
            f"the certificate of {host} is not trusted: {cause.verify_message}",
            remedy="If a proxy answers in its place, set SSL_CERT_FILE to a file with that proxy's authority",
        )
    if isinstance(cause, ssl.SSLError):
        reason = f"TLS fails ({cause.reason})"
    elif isinstance(cause, socket.gaierror):
        reason = "its name cannot be resolved"
    else:
        reason = os.strerror(cause.errno) if cause and cause.errno else "it does not answer"
    return TransferError(f"cannot connect to {host}: {reason}", transient=True)


def _cause(error: BaseException | None) -> OSError | None:
    """What the operating system said; httpcore hides it as a mere context."""
    while error:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None
