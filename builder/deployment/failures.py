"""What goes wrong between the builder and Dagster Cloud, in words that say what to do."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import requests
import urllib3.exceptions

from builder.deployment.connection import Connection
from builder.errors import CloudError

AGAIN: Final = "Run it again in a while; if it stays so, show the message to Dagster's support"
_ADDRESS: Final = "Check DAGSTER_CLOUD_URL or DAGSTER_CLOUD_ORGANIZATION"

_LONGEST_RETRY_AFTER: Final = 120.0
"""Seconds; the real client sleeps for as long as the server says."""

_RETRIED: Final = frozenset({409, 429, 502, 503, 504})
"""Statuses that the real client retries, as long as their reply says nothing else."""

_SHOWN: Final = 500
"""Characters of a reply that is not understood."""


class Uncertain(CloudError):
    """No answer came that says whether what was asked for has been done.

    :param late: whether the server may still be at it.
    """

    def __init__(self, what: str, *, detail: str | None = None, remedy: str = AGAIN, late: bool = False) -> None:
        super().__init__(what, detail=detail, remedy=remedy)
        self.late = late


class GraphQLErrors(Uncertain):
    """The server answered with `errors`.

    :param messages: what it says.
    """

    def __init__(self, host: str, messages: Sequence[str]) -> None:
        super().__init__(f"Dagster Cloud (`{host}`) answered with an error", detail="\n".join(messages))
        self.messages = tuple(messages)

    def lacks_field(self, *names: str) -> bool:
        """Whether the server refused the operation, undone, since it does not know one of these fields."""
        said = " ".join(self.messages).replace('"', "'")
        return any(f"Cannot query field '{name}'" in said for name in names)


class Maintenance(Exception):
    """The server is being maintained.

    :param message: what it says of that.
    :param interval: seconds until it wants to be asked again.
    """

    def __init__(self, message: str, interval: float) -> None:
        super().__init__(message)
        self.message = message
        self.interval = interval


def check(response: requests.Response, connection: Connection) -> None:
    """Look at a reply before the real client does; raises CloudError or Maintenance for one that is no success.

    Statuses that are to be retried are raised as requests' HTTPError, which the real client waits for.
    """
    host = connection.host
    body = _json(response)
    if "maintenance" in body:
        found = body["maintenance"] if isinstance(body["maintenance"], dict) else {}
        given = found.get("retry_interval")
        interval = float(given) if isinstance(given, int | float) and given > 0 else 30.0
        raise Maintenance(_clean(found.get("message") or "no reason given", connection), interval)
    if response.is_redirect:
        # The real client would follow it, with the token and without the question.
        raise CloudError(f"`{host}` sends elsewhere, as if it were no Dagster Cloud organization", remedy=_ADDRESS)
    if response.status_code in {401, 403, 404}:
        raise _denied(response, connection)
    if response.status_code in _RETRIED and "data" not in body:
        if (seconds := _retry_after(response)) > _LONGEST_RETRY_AFTER:
            what = f"`{host}` asks to be left alone for {seconds:.0f} seconds (HTTP {response.status_code})"
            raise CloudError(what, remedy="Run it again after that time")
        response.raise_for_status()
    if "errors" in body:
        raise GraphQLErrors(host, [_clean(text, connection) for text in _messages(body["errors"])])


def explain(error: BaseException, connection: Connection) -> Exception:
    """What the real client failed with, as CloudError (or Maintenance)."""
    for cause in _causes(error):
        if isinstance(cause, CloudError | Maintenance):
            return cause
        if isinstance(cause, requests.HTTPError) and cause.response is not None:
            return _status(cause.response, connection)
        if isinstance(cause, requests.RequestException):
            return _transport(cause, connection)
    text = _clean(str(error), connection)
    return Uncertain(f"the question to `{connection.host}` failed: {type(error).__name__}", detail=text)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _messages(errors: object) -> list[str]:
    """The messages in `errors` of a GraphQL reply, whatever shape a server gives them."""
    entries = errors if isinstance(errors, list) else [errors]
    found = (entry.get("message") if isinstance(entry, dict) else entry for entry in entries)
    return [str(text) for text in found if text] or ["it does not say which"]


def _clean(text: object, connection: Connection) -> str:
    """A text of the other side, which may repeat what it was sent."""
    return str(text).replace(connection.token, "[token]").strip()


def _excerpt(response: requests.Response, connection: Connection) -> str | None:
    """The beginning of a reply that is no GraphQL; None for a page that is meant for browsers."""
    body = _json(response)
    if "errors" in body:
        return "\n".join(_clean(text, connection) for text in _messages(body["errors"]))
    text = _clean(body.get("message") or response.text, connection)
    return None if not text or text.startswith("<") else text[:_SHOWN]


def _denied(response: requests.Response, connection: Connection) -> CloudError:
    host = connection.host
    what, remedy = {
        401: (
            f"`{host}` refuses the token (HTTP 401)",
            "Check DAGSTER_CLOUD_API_TOKEN: it must be a token of this organization that was not revoked",
        ),
        403: (
            f"the token is not allowed to do this at `{host}` (HTTP 403)",
            "Use a token of this organization that may deploy: an agent's, or that of a user with the role Editor",
        ),
        404: (f"`{host}` knows no such organization or deployment (HTTP 404)", f"{_ADDRESS}, and the deployment"),
    }[response.status_code]
    return CloudError(what, detail=_excerpt(response, connection), remedy=remedy)


def _status(response: requests.Response, connection: Connection) -> CloudError:
    host, code = connection.host, response.status_code
    if response.ok:
        what = f"`{host}` does not answer as Dagster Cloud does (HTTP {code})"
        return Uncertain(what, detail=_excerpt(response, connection), remedy=_ADDRESS)
    again = ", however often it was asked" if code in _RETRIED else ""
    return Uncertain(f"`{host}` answered with HTTP {code}{again}", detail=_excerpt(response, connection))


def _transport(error: requests.RequestException, connection: Connection) -> CloudError:
    host = connection.host
    reason = error.args[0] if error.args else None
    reason = getattr(reason, "reason", None) or reason
    if isinstance(error, requests.exceptions.SSLError):
        what = f"the connection to `{host}` is not trusted: {_tls_reason(str(error))}"
        remedy = f"{_ADDRESS}; behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE to a file of its certificates"
    elif isinstance(error, requests.exceptions.ProxyError):
        what, remedy = f"the proxy on the way to `{host}` does not work", "Check HTTPS_PROXY and NO_PROXY"
    elif isinstance(reason, urllib3.exceptions.NameResolutionError):
        what, remedy = f"the host `{host}` cannot be found", f"{_ADDRESS}, and the network's DNS"
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        what, remedy = f"`{host}` cannot be reached: no connection in time", f"{_ADDRESS}, and the network"
    elif isinstance(reason, urllib3.exceptions.NewConnectionError):
        what, remedy = f"`{host}` cannot be reached: {_os_reason(reason)}", f"{_ADDRESS}, and the network"
    elif isinstance(error, requests.exceptions.Timeout):
        return Uncertain(f"`{host}` did not answer in time", late=True)
    else:
        return Uncertain(f"the connection to `{host}` broke before an answer came")
    return CloudError(what, remedy=remedy)


def _os_reason(error: Exception) -> str:
    cause = error.__cause__
    return (cause.strerror if isinstance(cause, OSError) else None) or "no connection"


def _tls_reason(text: str) -> str:
    """What OpenSSL says, out of the brackets that urllib3 puts around it."""
    found = re.search(r"certificate verify failed: ([^(\"']+)|\] ([^(\"']+)", text)
    return (found[1] or found[2]).strip() if found else "TLS failed"


def _retry_after(response: requests.Response) -> float:
    """Seconds that a reply asks for; 0 if it does not."""
    given = response.headers.get("Retry-After", "").strip()
    if given.isdecimal():
        return float(given)
    try:
        date = email.utils.parsedate_to_datetime(given)
    except ValueError:
        return 0
    aware = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    return (aware - dt.datetime.now(dt.UTC)).total_seconds()
