"""Checking whether this builder.pex is the latest release, by the hash in the published builder.pex.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from builder import REPOSITORY, __version__
from builder.errors import ToolError
from builder.system import http, storage

VARIABLE: Final = "BUILDER_URL"
_TIMEOUT_SECONDS: Final = 20


def latest() -> str:
    """Compare this file with that at `$BUILDER_URL`, or of the tag `v1`; raises ToolError if it is another."""
    pex = os.environ.get("BUILDER_PEX")
    if not pex:
        raise ToolError("this is no builder.pex, but a checkout", remedy="Leave out --online, and use `git pull`")
    url = os.environ.get(VARIABLE)
    if not url and REPOSITORY.startswith("OWNER/"):
        raise ToolError(
            "it does not know where it is published",
            remedy=f"Set {VARIABLE} to the https URL of the builder.pex to compare it with",
        )
    url = url or f"https://github.com/{REPOSITORY}/raw/v1/generated/gha/builder.pex"
    if not url.startswith("https://"):
        raise ToolError(
            f"{VARIABLE} does not begin with `https://`", remedy="Write the https URL of a builder.pex"
        )
    sha256, version = _published(f"{url}.json")
    if sha256 == storage.sha256_of(Path(pex)):
        return f"it is the one that is published, version {version}"
    raise ToolError(
        f"version {version} with sha256 {sha256[:12]}… is published, and this is another, {__version__}",
        remedy=f"Fetch it from where {VARIABLE} says, or from the tag `v1`",
    )


def _published(url: str) -> tuple[str, str]:
    """The sha256 and the version that a builder.pex.json states."""
    host = urlsplit(url).hostname or url

    def get() -> httpx.Response:
        try:
            response = client.get(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, host) from error
        if not response.is_success:
            raise http.refused(response, host)
        return response

    with http.client(connections=1, timeout=httpx.Timeout(_TIMEOUT_SECONDS)) as client:
        try:
            response = http.retrying(get)
        except http.HttpError as error:
            raise ToolError(
                f"builder.pex.json could not be fetched: {error}",
                remedy=error.remedy or f"Check {VARIABLE}: beside the builder.pex that it names is its json",
            ) from error
    if any(passed.url.scheme != "https" for passed in (*response.history, response)):
        raise ToolError(f"`{host}` passes the request on without TLS", remedy=f"Set {VARIABLE} to another place")
    try:
        document = json.loads(response.content)
        return str(document["sha256"]), str(document["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise ToolError(
            f"what `{host}` answers is no builder.pex.json",
            remedy=f"Check {VARIABLE}: beside the builder.pex that it names is its json",
        ) from error
