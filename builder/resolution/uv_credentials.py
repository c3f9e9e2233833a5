"""Credentials of package indexes, handed to uv through a pipe.

In uv's environment they would be within reach of every text of a project: uv puts variables into requirements,
those in the metadata of a dependency included, and passes its environment on to build backends. So they go into
uv's own store of credentials, whose file is a pipe: it is read once, and nothing is written to a disk.
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
"""Stands among variables for the text of the store; not a variable of uv's."""

_PLACES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@|(?<=://)[^/\s@:]{20,}@")
"""User and password, or a user alone that is as long as a token. A short one may be for keyring to look up."""


def machine_settings() -> dict[str, str]:
    """What this machine says of indexes, proxies and credentials, some of which is taken for a secret."""
    names = {*_PLACES, "NETRC"}
    return {name: value for name, value in os.environ.items() if name in names or name.upper().endswith("_PROXY")}


def store_text(logins: Iterable[tuple[str, str, str]]) -> str:
    """The text of a store.

    :param logins: URL of an index, user and password; the first of a host is also for the host's other URLs.
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
    """An environment for uv whose URLs of indexes have no passwords, and whose proxies no upper-case names.

    uv puts only variables with upper-case names into texts, and obeys `https_proxy` as it does `HTTPS_PROXY`.
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
    """The variables by which uv finds a store, and the file descriptors that it has to inherit."""
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
    """What `uv auth login` has stored."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    directory = Path(os.environ.get("UV_CREDENTIALS_DIR") or data / "uv" / "credentials")
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return "\n" + (directory / "credentials.toml").read_text(encoding="utf-8")
    return ""
