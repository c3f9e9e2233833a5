"""Removing secrets from a text before it leaves this process."""

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
"""Characters of the shortest word taken for a secret: shorter ones are found in innocent words."""

_SHORTEST_USER: Final = 20
"""The same where a URL has a user alone, which is a name more often than a token."""

# Amazon's, Google's and Azure's; whoever has such a URL may read or write the file.
_SIGNATURE: Final = (
    r"(?:(?:X-Amz-[A-Za-z-]+|X-Goog-[A-Za-z-]+|Signature|AWSAccessKeyId)=[^\s\"'`<>&]*|sig=[^\s\"'`<>&]{20,})"
)
_SIGNED_QUERY: Final = re.compile(rf"\?[^\s\"'`<>?]*?\b{_SIGNATURE}[^\s\"'`<>]*", re.IGNORECASE)
_SIGNED_PARAMETER: Final = re.compile(rf"\b{_SIGNATURE}", re.IGNORECASE)


def redacted(text: str) -> str:
    """A text without this process's secrets, credentials in URLs, and the queries of presigned URLs."""
    for secret in known_secrets(os.environ):
        text = text.replace(secret, "***")
    text = _SIGNED_QUERY.sub("?***", without_credentials(text))
    return _SIGNED_PARAMETER.sub("***", text)


def known_secrets(environ: Mapping[str, str]) -> list[str]:
    """The tokens, and the passwords of package indexes, that an environment holds, longest first."""
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
