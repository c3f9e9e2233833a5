"""Expanding `${NAME}` in texts of a project, as pip and uv do, but without the secrets of this machine.

The author of a requirement chooses the host that it is sent to. So a secret is expanded only if the user named it
outside the checkout, and only as the user and password of a URL, never in a path, a query or a host name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from builder.errors import Origin, ProjectError
from builder.system import git, process
from builder.system.secret_variables import held_back

# The only syntax that pip and uv support.
_REFERENCE: Final = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)\}")
_LOGIN_OR_REFERENCE: Final = re.compile(
    rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<login>[^/\s@?#]*)@(?P<host>[^/\s?#]*)|{_REFERENCE.pattern}"
)


def expand(text: str, origin: Origin) -> str:
    """Expand variables in a text; unknown and empty ones stay unchanged.

    The login of a git URL is passed to `git.remember_login` and removed from the text, so that it does not appear
    on git's command line. Raises ProjectError for a secret that the user did not name, or outside a URL's login.
    """
    if "${" not in text:
        return text
    secrets = held_back(os.environ)

    def plain(match: re.Match[str]) -> str:
        name = match["name"]
        if os.environ.get(name) and name in secrets:
            raise _misplaced(name, origin) if process.is_allowed(name) else _not_named(name, origin)
        return os.environ.get(name) or match[0]

    def in_login(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in secrets or not os.environ.get(name):
            return plain(match)
        if not process.is_allowed(name):
            raise _not_named(name, origin)
        # A slash or an at sign would end the login, and the rest would be another host.
        return quote(os.environ[name], safe=":%!$&'()*+,;=~")

    return _LOGIN_OR_REFERENCE.sub(lambda match: _part(match, plain, in_login), text)


def without_references(text: str) -> str:
    """The text without any `${NAME}`."""
    return _REFERENCE.sub("", text)


def _part(
    match: re.Match[str], plain: Callable[[re.Match[str]], str], in_login: Callable[[re.Match[str]], str]
) -> str:
    if match["scheme"] is None:
        return plain(match)
    scheme, login = match["scheme"], _REFERENCE.sub(in_login, match["login"])
    host = _REFERENCE.sub(plain, match["host"])
    if login != match["login"] and scheme in {"git+http", "git+https"}:
        git.remember_login(f"{scheme.removeprefix('git+')}://{host}", login)
        return f"{scheme}://{host}"
    return f"{scheme}://{login}@{host}"


def _not_named(name: str, origin: Origin) -> ProjectError:
    return ProjectError(
        f"a requirement asks for the variable `{name}`, which is a secret of this machine",
        where=origin,
        remedy="Put the host's credentials into ~/.netrc, or an index's into UV_INDEX_NAME_PASSWORD. If the"
        f" project may have the secret, say so outside the project: BUILDER_PASS_ENV={name}",
    )


def _misplaced(name: str, origin: Origin) -> ProjectError:
    return ProjectError(
        f"a requirement has the secret `{name}` elsewhere than in the user and password of a URL",
        where=origin,
        remedy=f"Write it as in `https://${{{name}}}@host/`",
    )
