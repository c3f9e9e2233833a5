"""The location document is what the real client makes of the same entry of the same file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster_cloud_cli.config_utils import get_location_document

from builder.deployment.destination import GitMetadata
from builder.deployment.document import deployed_document, location_document
from builder.project.workspace_file import read_workspace_file
from tests.support.cloud.deployments import metadata

PEX_TAG = "files=deps-1.pex:source-2.pex"
GIT = GitMetadata(
    commit_hash="1a2b3c",
    url="https://git/tree/1a2b3c",
    provider="github",
    repo_owner="acme",
    repo_name="dags",
    base_branch="main",
)

CODE_SOURCES = [
    {"module_name": "sales.definitions"},
    {"package_name": "sales"},
    {"python_file": "definitions.py"},
    {"autoload_defs_module_name": "sales.defs"},
]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"working_directory": "src", "executable_path": "/usr/bin/python3", "attribute": "defs"},
    {"agent_queue": "large", "image": "mine:2"},
    {"container_context": {"k8s": {"env_vars": ["A=1"], "namespace": None}, "ecs": {"server_resources": {}}}},
    {"git": {"defs_base_path": "src/defs", "commit_hash": "older"}},
    # Written without quotes: YAML's own dates, which dagster's loader does not have.
    {"container_context": {"k8s": {"labels": {"since": dt.date(2026, 1, 31)}}}},
    {"build": {"directory": "."}, "something_new": {"key": [1, 2]}},
]


def write(directory: Path, entry: dict[str, Any], **more: Any) -> Path:  # noqa: ANN401
    (directory / "definitions.py").touch()
    path = directory / "dagster_cloud.yaml"
    path.write_text(yaml.safe_dump({"locations": [{"location_name": "sales", **entry}], **more}))
    return path


def built(path: Path, *, image: str | None = None, git: GitMetadata = GIT) -> dict[str, object]:
    location = read_workspace_file(path).locations[0]
    return location_document(location, pex_tag=PEX_TAG, python_version="3.11", image=image, git=git)


def real(path: Path, *, image: str | None = None, git: GitMetadata = GIT) -> dict[str, object]:
    """As `dagster-cloud ci deploy` and `serverless deploy-python-executable` call it."""
    return get_location_document(
        "sales",
        {
            "location_file": path,
            "image": image,
            "pex_tag": PEX_TAG,
            # The real client sends it beside an image of the entry, where it means nothing.
            "python_version": None if image or "image" in path.read_text() else "3.11",
            "commit_hash": git.commit_hash,
            "git_url": git.url,
            "git_provider": git.provider,
            "repo_owner": git.repo_owner,
            "repo_name": git.repo_name,
            "base_branch": git.base_branch,
        },
    )


@pytest.mark.parametrize("source", CODE_SOURCES, ids=lambda source: next(iter(source)))
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings), "nothing"))
@pytest.mark.parametrize("image", [None, "base:1"])
@pytest.mark.parametrize("git", [GIT, GitMetadata(commit_hash="1a2b3c"), GitMetadata()])
def test_the_document_is_the_real_clients(
    tmp_path: Path, source: dict[str, str], settings: dict[str, Any], image: str | None, git: GitMetadata
) -> None:
    path = write(tmp_path, {"code_source": source, **settings})

    document = built(path, image=image, git=git)

    assert document == real(path, image=image, git=git)


def test_defaults_are_in_the_document(tmp_path: Path) -> None:
    # The real client ignores them here; `dagster-cloud ci` merges them into the entry before it gets so far.
    entry = {"code_source": {"package_name": "sales"}, "container_context": {"k8s": {"env_vars": ["B=2"]}}}
    defaults = {"agent_queue": "large", "container_context": {"k8s": {"env_vars": ["A=1"]}}}
    merged = {**entry, "agent_queue": "large", "container_context": {"k8s": {"env_vars": ["A=1", "B=2"]}}}

    document = built(write(tmp_path, entry, defaults=defaults))

    assert document == real(write(tmp_path, merged))


def test_what_is_null_counts_as_not_given(tmp_path: Path) -> None:
    entry = {"code_source": {"package_name": "sales", "module_name": None}, "attribute": None, "image": None}

    document = built(write(tmp_path, entry))

    assert document == real(write(tmp_path, {"code_source": {"package_name": "sales"}}))


@pytest.mark.parametrize("source", CODE_SOURCES, ids=lambda source: next(iter(source)))
@pytest.mark.parametrize("settings", SETTINGS[:-3], ids=lambda settings: next(iter(settings), "nothing"))
@pytest.mark.parametrize(
    "states", [None, {"info_mapping": {"k": {"version": "1", "create_timestamp": 2.0}, "l": None}}]
)
def test_what_the_server_tells_of_a_location_is_its_document(
    tmp_path: Path, source: dict[str, str], settings: dict[str, Any], states: dict[str, object] | None
) -> None:
    location = read_workspace_file(write(tmp_path, {"code_source": source, **settings})).locations[0]
    document = location_document(
        location, pex_tag=PEX_TAG, python_version="3.11", image=None, git=GIT, states=states
    )

    assert deployed_document("sales", metadata(document)) == document


def test_the_location_stays_as_it_was_read(tmp_path: Path) -> None:
    entry = {"code_source": {"package_name": "sales"}, "git": {"url": "mine"}}
    location = read_workspace_file(write(tmp_path, entry)).locations[0]

    location_document(location, pex_tag=PEX_TAG, python_version="3.11", image="base:1", git=GIT)

    assert location.settings == {"location_name": "sales", **entry}
