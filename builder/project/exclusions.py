"""Default exclusions of a source PEX: temporary files and secrets, unless included by name.

Leftovers are excluded silently; secrets are excluded and reported. Patterns and the walk are elsewhere: each
function here looks at one file or directory. `docs/what-is-packed.md` describes the rules for users; keep both the
same.
"""

# Names are strings here: a Path per entry would double the time of the walk.
# ruff: noqa: PTH113, PTH122, PTH123

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from builder.system.storage import TEMPORARY_PREFIX


class Reason(Enum):
    """Why a file or directory is excluded."""

    LEFTOVER = "leftover"
    SECRET = "secret"  # noqa: S105  (not a password)


@dataclass(frozen=True, slots=True)
class ParentInfo:
    """Facts about a directory that affect its subdirectories.

    :param python_project: it contains a `pyproject.toml`, `setup.py` or `setup.cfg`.
    :param dagster_home: it is a used `DAGSTER_HOME`: run history was written into it.
    """

    python_project: bool = False
    dagster_home: bool = False


VERSION_CONTROL = {".git", ".hg", ".svn", ".bzr", ".jj", "_darcs", "CVS"}
_CACHES = {
    "__pycache__",
    ".cache",
    ".eggs",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".pytype",
    ".ropeproject",
    ".ruff_cache",
    ".terraform",
    ".tox",
    ".uv-cache",
    ".uv_cache",
}
_INSTALLED = {"node_modules", "__pypackages__"}
_LEFTOVER_DIRECTORIES = VERSION_CONTROL | _CACHES | _INSTALLED | {".dagster_home"}
# `dagster dev` without DAGSTER_HOME makes one in the working directory for each run.
_LEFTOVER_DIRECTORY_PREFIXES = (".tmp_dagster_home_", TEMPORARY_PREFIX)

# `.git` is a file in a submodule and in a linked worktree.
_LEFTOVER_FILES = {".git", ".DS_Store", "Thumbs.db", ".coverage", "builder.pex"}
_LEFTOVER_SUFFIXES = (".pyc", ".pyo", ".egg-info", ".egg-link")
_LEFTOVER_FILE_PREFIXES = (TEMPORARY_PREFIX, ".coverage.")
_OWN_OUTPUT = re.compile(r"(source|deps)-[0-9a-f]{16,64}\.(pex|pylock\.toml|cdx\.json)")

_SECRET_DIRECTORIES = {".aws", ".azure", ".dagster_cloud_cli", ".gnupg", ".kube", ".snowflake", ".snowsql", ".ssh"}
_SECRET_FILES = {
    ".boto",
    ".databrickscfg",
    ".dockercfg",
    ".git-credentials",
    ".my.cnf",
    ".netrc",
    ".pgpass",
    ".pypirc",
    ".s3cfg",
    ".vault-token",
    "_netrc",
    "application_default_credentials.json",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
    "kaggle.json",
}
_SECRET_SUFFIXES = (
    ".jks",
    ".keystore",
    ".p12",
    ".p8",
    ".pem",
    ".pfx",
    ".ppk",
    ".tfstate",
    ".tfstate.backup",
)
# Secrets only in a certain directory: (directory, name).
_SECRET_PLACES = {
    (".config", "gcloud"),
    (".config", "gh"),
    (".dlt", "secrets.toml"),
    (".docker", "config.json"),
    (".streamlit", "secrets.toml"),
}
# `google-github-actions/auth` writes gha-creds-….json into the checkout; the other comes from Google's console.
_SECRET_JSON_PREFIXES = ("gha-creds-", "client_secret")
# `.env.example` and similar files are committed as documentation: they hold names, not values.
_ENV_TEMPLATE = re.compile(r"\.env.*[._-](example|sample|template|tmpl|dist)")

# Files of these kinds cannot begin as a private key does, so they need not be opened.
_NEVER_A_KEY = {
    *(".py", ".pyi", ".ipynb", ".sql", ".sh", ".js", ".jsx", ".ts", ".tsx", ".j2", ".jinja"),
    *(".cfg", ".ini", ".lock", ".toml", ".xml", ".yaml", ".yml"),
    *(".css", ".html", ".md", ".rst", ".gif", ".jpeg", ".jpg", ".png", ".svg"),
    *(".avro", ".csv", ".db", ".duckdb", ".parquet", ".pkl", ".tsv"),
    *(".bz2", ".gz", ".pex", ".so", ".whl", ".zip"),
}
_SNIFFED_BYTES = 64 * 1024
_PRIVATE_KEY = re.compile(rb"^-----BEGIN [A-Z0-9 ]*PRIVATE KEY", re.MULTILINE)
# How a file made of PEM blocks begins; `Bag Attributes` when openssl wrote it from a PKCS#12 file.
_PEM_START = (b"-----BEGIN ", b"Bag Attributes")

_SETUPTOOLS_LEFTOVER = re.compile(r"lib|(lib|temp|bdist|scripts)[.-].+")
_DAGSTER_STORAGE = {"history", "schedules", "storage", ".nux", ".telemetry", ".logs_queue"}


def directory_reason(name: str, parent: str) -> Reason | None:
    """The reason to exclude a directory, by its name and its parent's name."""
    if name in _LEFTOVER_DIRECTORIES or name.endswith(".egg-info"):
        return Reason.LEFTOVER
    if name.startswith(_LEFTOVER_DIRECTORY_PREFIXES):
        return Reason.LEFTOVER
    if name in _SECRET_DIRECTORIES or name.startswith(".env") or (parent, name) in _SECRET_PLACES:
        return Reason.SECRET
    return None


def file_reason(name: str, parent: str) -> Reason | None:
    """The reason to exclude a file, by its name and its parent's name."""
    if name in _LEFTOVER_FILES or name.endswith(_LEFTOVER_SUFFIXES) or name.startswith(_LEFTOVER_FILE_PREFIXES):
        return Reason.LEFTOVER
    lower = name.lower()
    if (
        lower in _SECRET_FILES
        or lower.endswith(_SECRET_SUFFIXES)
        or (lower.startswith(".env") and not _ENV_TEMPLATE.fullmatch(lower))
        or (lower.startswith(_SECRET_JSON_PREFIXES) and lower.endswith(".json"))
        or (parent, lower) in _SECRET_PLACES
    ):
        return Reason.SECRET
    if name.startswith(("source-", "deps-")) and _OWN_OUTPUT.fullmatch(name):
        return Reason.LEFTOVER
    return None


def contents_reason(name: str, entries: Collection[str], around: ParentInfo) -> Reason | None:
    """The reason to exclude a directory, by the names in it.

    A directory called `build` or `dist` may be code or data: it counts as a leftover only in a Python project, and
    only if it contains nothing but the output of setuptools and build front ends.
    """
    if is_environment(entries):
        return Reason.LEFTOVER
    if around.python_project and name in {"build", "dist"} and _is_build_leftover(name, entries):
        return Reason.LEFTOVER
    # DAGSTER_HOME may be the project itself, with a package called `schedules`.
    if around.dagster_home and name in _DAGSTER_STORAGE and not any(entry.endswith(".py") for entry in entries):
        return Reason.LEFTOVER
    return None


def is_environment(entries: Collection[str]) -> bool:
    """Whether a directory with these names in it is a virtual environment (PEP 405) or a conda environment."""
    return "pyvenv.cfg" in entries or "conda-meta" in entries


def parent_info(directory: str, entries: Collection[str]) -> ParentInfo:
    """The facts about `directory`, which contains `entries`, for its subdirectories."""
    return ParentInfo(
        python_project="pyproject.toml" in entries or "setup.py" in entries or "setup.cfg" in entries,
        dagster_home="history" in entries and os.path.isfile(f"{directory}/history/runs.db"),
    )


def holds_secret(path: str, name: str, size: int) -> bool:
    """Whether a file's content is a private key (PEM, PuTTY) or a Google credential (JSON), whatever its name.

    Only small files that begin like one count: source code or configuration that merely contains a key is part of
    the project. Raises OSError as `open` does.
    """
    if not 0 < size <= _SNIFFED_BYTES:
        return False
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _NEVER_A_KEY:
        return False
    with open(path, "rb") as stream:
        content = stream.read(_SNIFFED_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")
    if suffix == ".json":
        return _is_google_credential(content)
    if content.startswith(b"PuTTY-User-Key-File-"):
        return True
    return content.startswith(_PEM_START) and _PRIVATE_KEY.search(content) is not None


def _is_google_credential(content: bytes) -> bool:
    if b'"private_key"' not in content and b'"refresh_token"' not in content:
        return False
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    return (kind == "service_account" and "private_key" in value) or (
        kind == "authorized_user" and "refresh_token" in value
    )


def _is_build_leftover(name: str, entries: Collection[str]) -> bool:
    if name == "build":
        return bool(entries) and all(_SETUPTOOLS_LEFTOVER.fullmatch(entry) for entry in entries)
    # uv writes a .gitignore into the dist/ that it makes.
    return any(entry.endswith(".whl") for entry in entries) and all(
        entry.endswith((".whl", ".tar.gz")) or entry == ".gitignore" for entry in entries
    )
