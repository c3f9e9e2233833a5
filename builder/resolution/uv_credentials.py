"""Passing the credentials of package indexes to uv through a pipe.

In uv's environment they could leak: uv expands variables in requirements, including those in the metadata of
dependencies, and passes its environment on to build backends. So they are written in the format of uv's own
credentials store to a pipe: uv reads it once, and nothing is written to disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import tomli_w

from builder.system import storage

STORE: Final = "UV_CREDENTIALS"
"""The key under which the store's text is passed along with environment variables; uv has no such variable."""

_PLACES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@|(?<=://)[^/\s@:]{20,}@")
"""User and password, or a user name as long as a token. A short user name alone may be one for keyring."""


def machine_settings() -> dict[str, str]:
    """Environment variables for indexes, proxies and credentials, some of which may count as secrets."""
    names = {*_PLACES, "NETRC"}
    return {name: value for name, value in os.environ.items() if name in names or name.upper().endswith("_PROXY")}


def store_text(logins: Iterable[tuple[str, str, str]]) -> str:
    """The text of uv's credentials store.

    :param logins: URL of an index, user and password; the first of a host also applies to the host's other URLs.
    """
    services: dict[str, tuple[str, str]] = {}
    for url, username, password in logins:
        parts = urllib.parse.urlsplit(url)
        host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        for service in (f"{host}{parts.path}".rstrip("/"), host):
            services.setdefault(service, (username, password))
    entries = [
        {"service": service, "scheme": "basic", "username": username, "password": password}
        for service, (username, password) in services.items()
    ]
    return tomli_w.dumps({"credential": entries}) if entries else ""


def without_logins(environment: Mapping[str, str]) -> dict[str, str]:
    """Remove passwords from the index URLs in an environment for uv, and rename proxy variables to lower case.

    uv expands only variables with upper-case names in requirements, and reads `https_proxy` like `HTTPS_PROXY`.
    """
    logins = {}
    for name, value in environment.items():
        if name in _PLACES:
            logins[name] = _LOGIN.sub("", value)
        elif name.upper().endswith("_PROXY"):
            logins[name.lower()] = value
        else:
            logins[name] = value
    return logins


@contextlib.contextmanager
def handed_over(text: str) -> Iterator[tuple[Mapping[str, str], tuple[int, ...]]]:
    """Provide the store to uv: yields the variables by which uv finds it, and the file descriptors to inherit."""
    if not text:
        yield {}, ()
        return
    with storage.scratch_directory() as scratch:
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "w", encoding="utf-8") as stream:
                stream.write(text + _users_store())
            (scratch / "credentials.toml").symlink_to(f"/dev/fd/{reading}")
            yield {"UV_CREDENTIALS_DIR": str(scratch)}, (reading,)
        finally:
            os.close(reading)


def _users_store() -> str:
    """The text of the store that `uv auth login` writes."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    directory = Path(os.environ.get("UV_CREDENTIALS_DIR") or data / "uv" / "credentials")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return "\n" + (directory / "credentials.toml").read_text(encoding="utf-8")
    return ""
