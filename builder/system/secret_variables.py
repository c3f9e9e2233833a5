"""Deciding which environment variables are secrets, by their name, their value, or the secret that they contain.

In doubt a variable counts as a secret: the user can still pass it with `--env NAME` or `BUILDER_PASS_ENV`, while a
leaked secret cannot be taken back. docs/trust.md describes this for users.
"""

from __future__ import annotations

import base64
import contextlib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Final

_OWNED: Final = re.compile(r"(DAGSTER_CLOUD|DAGSTER_PLUS|GITHUB|ACTIONS|GITLAB|CI_JOB)_")
"""Variables of Dagster Cloud and of CI providers: tokens, and files with which a step can change later steps."""

_FACTS: Final = re.compile(
    r"GITHUB_(ACTIONS|ACTOR(_ID)?|BASE_REF|EVENT_NAME|HEAD_REF|JOB|REF(_NAME|_TYPE|_PROTECTED)?"
    r"|REPOSITORY(_ID|_OWNER|_OWNER_ID)?|RUN_(ID|NUMBER|ATTEMPT)|SERVER_URL|SHA|WORKFLOW|WORKSPACE)"
    r"|GITLAB_CI|CI_JOB_(ID|IMAGE|NAME|NAME_SLUG|STAGE|STARTED_AT|URL)"
)
"""Those of them that only describe the commit and the run; some are used to compute versions."""

_BUILD_SETTINGS: Final = re.compile(r"(SETUPTOOLS_SCM|PDM_BUILD)_|SOURCE_DATE_EPOCH$|POETRY_DYNAMIC_VERSIONING_")
"""Settings of build backends: their names contain a package's name, which may contain `auth` or `key`."""

_SECRET_NAME: Final = re.compile(
    r"TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE|PASSFILE|CREDENTIAL|WEBHOOK|ASKPASS|CONNECTION_?STRING|CONN_STR"
    r"|(API|ACCESS|PRIVATE|ACCOUNT|SIGNING|ENCRYPTION|LICENSE)_?KEY"
    r"|(^|_)(KEY|PAT|AUTH|JWT|DSN|COOKIE|SAS|BEARER)S?(_|$)|_(PWD|PW|PASS)(_|$)",
    re.IGNORECASE,
)

_NAMES: Final = frozenset(
    {
        *("CI_REPOSITORY_URL", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_CONFIG", "GNUPGHOME", "KUBECONFIG", "NETRC"),
        *("REGISTRY_AUTH_FILE", "SSH_AGENT_PID", "XAUTHORITY"),
    }
)
"""Variables with secrets, or with paths to them, whose names do not show it."""

_SECRET_VALUE: Final = re.compile(
    r"""
      ://[^/\s:@]*:[^/\s@]+@                                        # URL with a password
    | ://[^/\s:@]{20,}@                                             # URL with a token
    | ^[^/\s:@]+:[^/\s@]+@(?!sha\d+:)[\w(]                          # user:password@host
    | (?:^|[\s;,&?{"'_-])(?:password|passwd|pwd|secret|client_secret|token|account_?key|access_?key|api_?key
        |shared_?access_?key|private_?key|identitytoken|auth)["']?\s*[=:]\s*["']?[^\s"';,]
    | "auths"\s*:
    | [?&](?:sig|signature|x-(?:amz|goog)-signature|access_token|token)=
    | https?://\S*webhook | https://hooks\.slack\.com/services/
    | (?:^|authorization\s*:\s*)(?:basic|bearer|token)\s+\S{8}
    | \blogin\s+\S+\s+password\s+\S                                # .netrc
    | ^[\w.*-]+:(?:\d+|\*):[^:\n]*:[^:\n]*:\S                       # .pgpass
    | -----BEGIN[A-Z ]*PRIVATE\ KEY
    | \beyJ[\w-]{8,}\.[\w-]{4,}\.                                   # JSON web token
    | \bgh[opsur]_\w{16,} | \bgithub_pat_\w{16,}                    # GitHub
    | \bgl(?:pat|cbt|dt|ft|oas|ptt|rt|soat|agent)-[\w-]{16,}        # GitLab
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b | \bAIza[\w-]{35} | \bya29\.    # AWS, Google
    | \bdapi[0-9a-f]{32}                                            # Databricks
    | \bdckr_pat_ | \bnpm_\w{30,} | \bpypi-\w{16,} | \bhf_\w{30,}   # Docker, npm, PyPI, Hugging Face
    | \bsk-[\w-]{20,} | \b[rs]k_(?:live|test)_ | \bSG\.[\w-]{16,}\. # OpenAI and others, Stripe, SendGrid
    | \bxox[abeoprs]-\w | \bxapp-\w | \bhv[bsr]\.\w{20,}            # Slack, Vault
    | \bshp(?:at|ca|pa|ss)_[0-9a-f]{32} | \bkey-[0-9a-f]{32}        # Shopify, Mailgun
    | \b\d{8,10}:[\w-]{35}\b                                        # Telegram
    | \bdp\.(?:pt|st|ct|sa)\. | \bdo[opr]_v1_ | \bATATT3x           # Doppler, DigitalOcean, Atlassian
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{11,}={0,2}")

_RANDOM: Final = re.compile(r"(?!/)(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9+/_=-]{32,}")
"""Possible keys in base64. Hexadecimal digits alone are more often a commit or a digest than a key."""

_RUNS: Final = re.compile(r"[a-z]+|[A-Z]+|[0-9]+|[^a-zA-Z0-9]+")
_RUNS_PER_CHARACTER: Final = 0.5
"""Minimum changes between lower case, upper case and digits per character: random base64 has two in three
characters, camel case fewer."""

_NEVER_TAINTED: Final = re.compile(r"PATH|HOME|PWD|TMPDIR|USER|LOGNAME|SHELL|LANG|LC_\w+|TERM")
"""Variables that are always needed, whose values may contain a password such as `local` by chance."""

_SHORTEST: Final = 8
"""Minimum length of a value that is searched for in other variables; a value of only letters must be longer."""

_SHORTEST_OF_LETTERS: Final = 16


def held_back(environ: Mapping[str, str]) -> frozenset[str]:
    """The names of the variables that are, or may be, secrets."""
    by_name = {name for name in environ if _is_named_like_one(name)}
    values = {environ[name].strip() for name in by_name if _SECRET_NAME.search(name)}
    lines = {line.strip() for value in values for line in value.splitlines()}
    # A Dagster Cloud token has the form `user:…`; its last part is the secret.
    parts = {value.rpartition(":")[2] for value in values}
    telling = {value for value in values | lines | parts if _is_telling(value)}

    def is_secret(name: str, value: str) -> bool:
        if name in by_name or _SECRET_VALUE.search(value) or _looks_random(value):
            return True
        if _NEVER_TAINTED.fullmatch(name):
            return False
        return any(secret in form for form in _forms(value) for secret in telling)

    return frozenset(name for name, value in environ.items() if is_secret(name, value))


def _forms(value: str) -> Iterator[str]:
    """A value, and what it is when it is decoded as part of a URL or as base64."""
    yield value
    if "%" in value:
        yield urllib.parse.unquote(value)
    for match in _BASE64.finditer(value):
        text = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        with contextlib.suppress(ValueError):
            yield base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()


def _is_named_like_one(name: str) -> bool:
    if _OWNED.match(name):
        return not _FACTS.fullmatch(name)
    if _BUILD_SETTINGS.match(name):
        return False
    return name in _NAMES or name.startswith("GIT_CONFIG_") or _SECRET_NAME.search(name) is not None


def _is_telling(value: str) -> bool:
    """Whether a value is so distinctive that a variable which contains it must have been derived from it."""
    return len(value) >= (_SHORTEST_OF_LETTERS if value.isalpha() else _SHORTEST)


def _looks_random(value: str) -> bool:
    return bool(_RANDOM.fullmatch(value)) and len(_RUNS.findall(value)) >= len(value) * _RUNS_PER_CHARACTER
