"""Mapping import names to the distributions that provide them.

Indexes cannot be searched by module name, so a table lists well-known cases.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import ProjectError
from builder.project.manifest import find_manifest
from builder.project.names import required_name
from builder.project.toml_file import TomlFile

_RENAMED: Final[Mapping[str, str]] = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "airflow": "apache-airflow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "databricks.sql": "databricks-sql-connector",
    "dateutil": "python-dateutil",
    "dbt": "dbt-core",
    "django": "Django",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "git": "GitPython",
    "github": "PyGithub",
    "gitlab": "python-gitlab",
    "google.protobuf": "protobuf",
    "googleapiclient": "google-api-python-client",
    "grpc": "grpcio",
    "haystack": "haystack-ai",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "kafka": "kafka-python",
    "magic": "python-magic",
    "markdown": "Markdown",
    "mysql": "mysql-connector-python",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "slugify": "python-slugify",
    "snowflake.connector": "snowflake-connector-python",
    "snowflake.snowpark": "snowflake-snowpark-python",
    "sqlalchemy": "SQLAlchemy",
    "telegram": "python-telegram-bot",
    "websocket": "websocket-client",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
_SAME: Final = frozenset(
    (
        *("apache_beam", "azure.identity", "azure.storage.blob", "boto3", "clickhouse_connect"),
        *("clickhouse_driver", "databricks.sdk", "deltalake", "duckdb", "google.auth"),
        *("google.cloud.bigquery", "google.cloud.storage", "great_expectations", "kubernetes"),
        *("lxml", "numpy", "oracledb", "pandas", "polars", "pyarrow", "pydantic", "pymssql", "requests", "scipy"),
        *("slack_sdk", "usaddress"),
    )
)
"""Modules whose distribution has the same name."""
_PREFIXES: Final = (("google.cloud.", 3), ("azure.", 3))
"""Namespace packages split over several distributions, with the number of segments that identify one."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A distribution that provides a module.

    :param certain: whether it is in the table; otherwise it is guessed from the module's name.
    """

    name: str
    certain: bool


def provider_of(module: str) -> Provider:
    """The distribution that provides a module, such as `yaml` or `google.cloud.storage`."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in _RENAMED or name in _SAME:
            return Provider(_RENAMED.get(name) or re.sub("[._]", "-", name), certain=True)
    for prefix, length in _PREFIXES:
        if module.startswith(prefix):
            return Provider("-".join(parts[:length]).replace("_", "-"), certain=False)
    name = parts[0].replace("_", "-")
    # All of dagster's own libraries follow this naming.
    return Provider(name, certain=name.startswith("dagster-"))


def how_to_declare(distribution: str, project: Path, shown: str) -> str:
    """The hint for adding a missing distribution to a project, as an imperative.

    :param project: the directory of the manifest.
    :param shown: that directory as shown to the user, with a trailing slash; may be empty.
    """
    manifest = find_manifest(project)
    if manifest is None:
        return f"Write `{distribution}` in a `{shown}requirements.txt`"
    for place, option in _elsewhere(distribution, project):
        return (
            f"`{distribution}` is declared, but in {place}, which is not shipped: move it to `dependencies` in"
            f" `{shown}pyproject.toml`, or build with {option}"
        )
    if (project / "uv.lock").is_file():
        return f"Run `uv add {shlex.quote(distribution)}` in `{shown or '.'}`"
    if (project / "poetry.lock").is_file():
        return f"Run `poetry add {shlex.quote(distribution)}` in `{shown or '.'}`"
    key = {"setup.py": "`install_requires` in ", "setup.cfg": "`install_requires` in "}.get(
        manifest.name, "`dependencies` in " if manifest.name == "pyproject.toml" else ""
    )
    return f"Add `{distribution}` to {key}`{shown}{manifest.name}`"


def _elsewhere(distribution: str, project: Path) -> Iterator[tuple[str, str]]:
    """Other places in pyproject.toml that declare a distribution, each with the option that selects it."""
    try:
        pyproject = TomlFile.pyproject(project)
    except ProjectError:
        return
    for name, entries in pyproject.table("dependency-groups").items():
        if _names(entries, distribution):
            yield f"the dependency group `{name}`", f"--group {name}"
    for name, entries in pyproject.table("project", "optional-dependencies").items():
        if _names(entries, distribution):
            yield f"the extra `{name}`", f"--extra {name}"


def _names(entries: object, distribution: str) -> bool:
    """Whether one of these requirements names the distribution."""
    if not isinstance(entries, list):
        return False
    names = (required_name(entry) for entry in entries if isinstance(entry, str))
    return canonicalize_name(distribution) in names
