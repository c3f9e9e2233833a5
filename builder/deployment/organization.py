"""The Dagster Cloud organization and token, read from the environment."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from builder.deployment.login import Login
from builder.errors import CloudError
from builder.system.loopback import is_loopback

_URL: Final = "DAGSTER_CLOUD_URL"
_ORGANIZATION: Final = "DAGSTER_CLOUD_ORGANIZATION"
_TOKEN: Final = "DAGSTER_CLOUD_API_TOKEN"  # noqa: S105  (the name of a variable)
_DOMAIN: Final = ".dagster.cloud"
_SHARED: Final = {"dagster.cloud": "", "eu.dagster.cloud": "eu"}
"""Hosts that organizations have in common, with their regions."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)

_URL_REMEDY: Final = (
    f"Set {_URL} to the address of your organization, such as https://my-organization.dagster.cloud,"
    f" or {_ORGANIZATION} to its name"
)
_TOKEN_REMEDY: Final = (
    f"Set {_TOKEN} to a token of your organization (Dagster Cloud → Organization settings → Tokens); in GitHub"
    f" Actions keep it as a secret and write `{_TOKEN}: ${{{{ secrets.{_TOKEN} }}}}` under `env`"
)


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization of Dagster Cloud.

    :param url: of the organization, without a slash at its end.
    :param token: of a user or an agent; never to be shown.
    """

    url: str
    token: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host, with its port if that is unusual, for messages."""
        return urllib.parse.urlsplit(self.url).netloc

    def page(self, deployment: str) -> str:
        """The address at which people look at the locations of a deployment."""
        return f"{self.url}/{urllib.parse.quote(deployment, safe='')}/locations"


def read_organization(environ: Mapping[str, str], login: Callable[[], Login]) -> Organization:
    """Read `DAGSTER_CLOUD_URL` or `DAGSTER_CLOUD_ORGANIZATION`, and `DAGSTER_CLOUD_API_TOKEN`.

    The organization may name its region (`org.eu`), which `DAGSTER_CLOUD_ENV` does as well, as in
    `dagster_cloud_cli.config_utils.get_org_url`. Raises CloudError for what is missing or cannot be right.

    :param login: asked for what the environment lacks.
    """
    named = any(environ.get(name, "").strip() for name in (_URL, _ORGANIZATION))
    if not named or environ.get(_TOKEN) is None:
        kept = login()
        given: dict[str, str] = {}
        if not named:
            # The kept address is the one that organizations have theirs below.
            own = {_URL: f"{kept.url.rstrip('/')}/{kept.organization}"} if kept.url else {}
            given |= own or {_ORGANIZATION: kept.organization}
        if environ.get(_TOKEN) is None and kept.token:
            given[_TOKEN] = kept.token
        environ = {**environ, **given}
    return Organization(_read_url(environ), _read_token(environ))


def _read_url(environ: Mapping[str, str]) -> str:
    given = environ.get(_URL, "").strip()
    organization = environ.get(_ORGANIZATION, "").strip()
    if not given and not organization:
        raise CloudError(
            f"neither {_URL} nor {_ORGANIZATION} is set, and nobody is logged in on this machine",
            remedy=_URL_REMEDY,
        )
    derived = _of_organization(organization, environ.get("DAGSTER_CLOUD_ENV", "").strip()) if organization else ""
    if not given:
        return derived
    url = _checked(given)
    # The address of a self-hosted installation does not contain the organization's name.
    if derived and url != derived and url.endswith(_DOMAIN):
        raise CloudError(
            f"{_URL} and {_ORGANIZATION} contradict each other: `{url}` is not `{derived}`",
            remedy="Keep the right one of the two and remove the other",
        )
    return url


def _of_organization(organization: str, environment: str) -> str:
    name = f"{organization}.{environment}" if environment else organization
    if not _NAME.fullmatch(name) or f"{name}.".lower().endswith(f"{_DOMAIN}."):
        raise CloudError(
            f"{_ORGANIZATION} is not the name of an organization",
            remedy=f"Write only the name, such as `my-company` or `my-company.eu`; an address goes to {_URL}",
        )
    return f"https://{name.lower()}{_DOMAIN}"


def _checked(given: str) -> str:
    """The URL as it is used; its wrong parts are never shown, since they may be a token in the wrong place."""
    try:
        parts = urllib.parse.urlsplit(given)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        parts, host, port = urllib.parse.urlsplit(""), "", None
    if parts.scheme not in {"https", "http"} or not re.fullmatch(r"[a-z0-9.:-]+", host):
        raise CloudError(f"{_URL} is not an address that begins with `https://`", remedy=_URL_REMEDY)
    if parts.username is not None or parts.password is not None:
        raise CloudError(
            f"{_URL} holds a user name or a password", remedy=f"Remove what stands before the `@`; set {_TOKEN}"
        )
    netloc = f"[{host}]" if ":" in host else host
    if parts.scheme == "http" and not is_loopback(netloc):
        raise CloudError(
            f"{_URL} begins with `http://`: the token would be sent unencrypted", remedy="Write `https://`"
        )
    url = f"{parts.scheme}://{netloc}" + (f":{port}" if port else "")
    path = parts.path.strip("/")
    if host in _SHARED:
        # As `dg plus deploy configure` writes it: the organization is below the address that all have in common.
        organization, _, path = path.partition("/")
        if not organization:
            raise CloudError(f"{_URL} names no organization", remedy=_URL_REMEDY)
        url = _of_organization(organization, _SHARED[host])
    if path:
        name = path.partition("/")[0]
        option = f"; name the deployment with `--deployment {name}`" if re.fullmatch(r"[\w-]+", name) else ""
        raise CloudError(
            f"{_URL} has a path, but has to be the address of the organization",
            remedy=f"Set {_URL} to `{url}`{option}",
        )
    if parts.query or parts.fragment:
        raise CloudError(f"{_URL} has a query or a fragment", remedy=f"Set {_URL} to `{url}`")
    return url


def _read_token(environ: Mapping[str, str]) -> str:
    given = environ.get(_TOKEN)
    # A newline at the end is what `echo` and an editor put into a secret.
    token = (given or "").strip()
    if not token:
        forks = "" if given is None else ". Secrets are empty in pull requests from forks"
        state = "not set" if given is None else "empty"
        raise CloudError(f"{_TOKEN} is {state}", remedy=f"{_TOKEN_REMEDY}{forks}")
    if not re.fullmatch(r"[!-~]+", token):
        raise CloudError(
            f"{_TOKEN} holds a space, a line break or a character that no token has",
            remedy="Copy the token once more, all of it and nothing else",
        )
    return token
