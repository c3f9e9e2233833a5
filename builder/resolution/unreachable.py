"""Hosts that do not answer: the error for a package index, and the host that a build or git could not reach."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path
from typing import Final

from builder.errors import FetchError, Origin
from builder.project.lines import line_of_text

NETWORK: Final = re.compile(
    r"error sending request|failed to fetch:|could not connect|dns error|failed to lookup|timed out",
    re.IGNORECASE,
)
_SILENT: Final = re.compile(
    r"Name or service not known|Temporary failure in name resolution|getaddrinfo|nodename nor servname"
    r"|Could not resolve host|Failed to resolve|NameResolutionError|ENOTFOUND|EAI_AGAIN|dns error"
    r"|Connection refused|ECONNREFUSED|Connection timed out|ConnectTimeout|ETIMEDOUT|Network is unreachable"
    r"|Failed to connect to|Could not connect to|Max retries exceeded|Connection reset by peer",
)
_HOST: Final = re.compile(
    r"host='([\w.-]+)'|Could not resolve host: ([\w.-]+)|Failed to resolve '([\w.-]+)'"
    r"|Failed to connect to ([\w.-]+)"
    r"|ENOTFOUND ([\w.-]+)|\b(?:https?|git|ssh)://(?:[^/@\s'\"]+@)?([\w.-]+)"
)
_SETTINGS: Final = ("requirements.txt", "pyproject.toml", "uv.toml", "pip.conf")


def unreachable(words: str, directory: Path) -> FetchError:
    """Make the error for an index that does not answer, with uv's message.

    :param directory: the project, which may name the index.
    """
    match = re.search(r"https?://[^\s)`'\"]+", words)
    url = urllib.parse.urlsplit(match[0]) if match else urllib.parse.urlsplit("")
    called = f" `{url.hostname}`" if url.hostname else ""
    where = naming(url.netloc, directory)
    address = "the address of the index" if where else "the index settings (UV_DEFAULT_INDEX, pip.conf)"
    return FetchError(
        f"the package index{called} cannot be reached",
        where=where,
        detail=words,
        remedy=f"Check {address}, the network and the proxy, then run it again",
    )


def naming(address: str, directory: Path) -> Origin | None:
    """The line of a project's settings that names an index by its host, or by more of its URL."""
    host = address.rpartition("@")[2]
    named = (line_of_text(host, directory / name) for name in _SETTINGS if host)
    return next((origin for origin in named if origin.line), None)


def silent_host(output: str) -> str | None:
    """The host that did not answer, as the output of a build or of git says; empty if it does not say which.

    None if the output is not about the network.
    """
    failed = _SILENT.search(output)
    if failed is None:
        return None
    lines = output.splitlines()
    number = output[: failed.start()].count("\n")
    # The line itself names the host best, then those before it, the nearest first; then what went to stdout.
    for line in (*reversed(lines[: number + 1]), *lines[number + 1 :]):
        if host := _HOST.search(line):
            return str(host[host.lastindex or 0])
    return ""
