"""Removing secrets from text before it is printed or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from builder.errors import without_credentials

_TOKENS: Final = (
    "DAGSTER_CLOUD_API_TOKEN",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "CI_JOB_TOKEN",
    "GITLAB_TOKEN",
)
_INDEX_SETTING: Final = re.compile(r"(PIP|UV)_")
_USER_AND_PASSWORD: Final = re.compile(r"://([^/@\s:]*):([^/@\s]+)@")
_USER_ALONE: Final = re.compile(r"://([^/@\s:]+):?@")

_SHORTEST: Final = 6
"""Minimum length of a secret: shorter ones would match parts of ordinary words."""

_SHORTEST_USER: Final = 20
"""Minimum length if a URL has only a user, which is more often a name than a token."""

# Signatures in presigned URLs of Amazon, Google and Azure, which grant access to the file.
_SIGNATURE: Final = (
    r"(?:(?:X-Amz-[A-Za-z-]+|X-Goog-[A-Za-z-]+|Signature|AWSAccessKeyId)=[^\s\"'`<>&]*|sig=[^\s\"'`<>&]{20,})"
)
_SIGNED_QUERY: Final = re.compile(rf"\?[^\s\"'`<>?]*?\b{_SIGNATURE}[^\s\"'`<>]*", re.IGNORECASE)
_SIGNED_PARAMETER: Final = re.compile(rf"\b{_SIGNATURE}", re.IGNORECASE)


def redacted(text: str) -> str:
    """Remove this process's secrets, credentials in URLs, and the queries of presigned URLs from a text."""
    for secret in known_secrets(os.environ):
        text = text.replace(secret, "***")
    text = _SIGNED_QUERY.sub("?***", without_credentials(text))
    return _SIGNED_PARAMETER.sub("***", text)


def known_secrets(environ: Mapping[str, str]) -> list[str]:
    """The tokens and index passwords in an environment, longest first."""
    secrets = {environ.get(name, "").strip() for name in _TOKENS}
    for name, value in environ.items():
        if not _INDEX_SETTING.match(name):
            continue
        if name.endswith(("_PASSWORD", "_TOKEN")):
            secrets.add(value.strip())
        passwords = [password for _user, password in _USER_AND_PASSWORD.findall(value)]
        users = [user for user in _USER_ALONE.findall(value) if len(user) >= _SHORTEST_USER]
        for secret in (*passwords, *users):
            secrets |= {secret, unquote(secret)}
    return sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=lambda text: (-len(text), text))
