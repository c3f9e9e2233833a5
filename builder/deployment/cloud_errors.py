"""Errors of Dagster Cloud's API, with what to do about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from builder.deployment.organization import Organization
from builder.errors import CloudError
from builder.system import http

if TYPE_CHECKING:
    import httpx

AGAIN: Final = "Run it again in a while; if it stays so, show the message to Dagster's support"
_ADDRESS: Final = "Check DAGSTER_CLOUD_URL or DAGSTER_CLOUD_ORGANIZATION"

_SHOWN: Final = 500
"""Characters of a reply that is not understood."""


class UnknownOutcomeError(CloudError):
    """The outcome of a request is unknown: no usable answer came.

    :param late: whether the server may still be working on it.
    """

    def __init__(self, what: str, *, detail: str | None = None, remedy: str = AGAIN, late: bool = False) -> None:
        super().__init__(what, detail=detail, remedy=remedy)
        self.late = late


class GraphQLErrors(UnknownOutcomeError):
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
    :param limit: seconds after which it wants to be asked no more.
    """

    def __init__(self, message: str, interval: float, limit: float) -> None:
        super().__init__(message)
        self.message = message
        self.interval = interval
        self.limit = limit


def data_of(response: httpx.Response, organization: Organization) -> dict[str, Any]:
    """The `data` of a reply.

    Raises CloudError or Maintenance for one that is no success, HttpError where the status says to try it again.
    """
    host = organization.host
    body = _json(response)
    if "maintenance" in body:
        given = body["maintenance"] if isinstance(body["maintenance"], dict) else {}
        interval = _seconds(given.get("retry_interval"), 30)
        limit = _seconds(given.get("timeout"), math.inf)
        raise Maintenance(_clean(given.get("message") or "no reason given", organization), interval, limit)
    if response.has_redirect_location:
        raise CloudError(f"`{host}` sends elsewhere, as if it were no Dagster Cloud organization", remedy=_ADDRESS)
    if response.status_code in {401, 403, 404}:
        raise denied(response, organization)
    if http.is_transient(response.status_code) and not {"data", "errors"} & body.keys():
        raise http.refused(response, host, detail=_excerpt(response, organization))
    if "errors" in body:
        raise GraphQLErrors(host, [_clean(text, organization) for text in _messages(body["errors"])])
    if isinstance(data := body.get("data"), dict):
        return data
    if "data" in body:
        raise UnknownOutcomeError(f"`{host}` answered without data")
    what = f"`{host}` does not answer as Dagster Cloud does (HTTP {response.status_code})"
    raise UnknownOutcomeError(what, detail=_excerpt(response, organization), remedy=_ADDRESS)


def explain(error: http.HttpError) -> CloudError:
    """The CloudError for a request that failed for good."""
    if error.unsent:
        remedy = "; ".join(filter(None, (_ADDRESS, error.remedy)))
        return CloudError(str(error), remedy=remedy)
    return UnknownOutcomeError(str(error), detail=error.detail, remedy=error.remedy or AGAIN, late=error.timed_out)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _messages(errors: object) -> list[str]:
    """The messages in `errors` of a GraphQL reply, whatever shape a server gives them."""
    entries = errors if isinstance(errors, list) else [errors]
    messages = (entry.get("message") if isinstance(entry, dict) else entry for entry in entries)
    return [str(text) for text in messages if text] or ["it does not say which"]


def _clean(text: object, organization: Organization) -> str:
    """A text of the server without the token, which it may repeat."""
    return str(text).replace(organization.token, "[token]").strip()


def _excerpt(response: httpx.Response, organization: Organization) -> str | None:
    """The beginning of a response that is not GraphQL; None for an HTML page."""
    body = _json(response)
    if "errors" in body:
        return "\n".join(_clean(text, organization) for text in _messages(body["errors"]))
    text = _clean(body.get("message") or response.text, organization)
    return None if not text or text.startswith("<") else text[:_SHOWN]


def denied(response: httpx.Response, organization: Organization) -> CloudError:
    """The error for an answer of HTTP 401, 403 or 404."""
    host = organization.host
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
    return CloudError(what, detail=_excerpt(response, organization), remedy=remedy)


def _seconds(value: object, otherwise: float) -> float:
    """A number of seconds of a reply."""
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise
