"""What Dagster Cloud knows: deployments, the locations deployed to them, and what the agent reported of those."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.cloud.faults import PythonError

CODE_SOURCES = ("python_file", "package_name", "module_name", "autoload_defs_module_name")

# dagster_cloud_cli.config_utils.get_location_document names all that a document may hold.
_KEYS = {
    "": {
        "location_name", "code_source", "working_directory", "image", "executable_path", "attribute", "git",
        "container_context", "pex_metadata", "pex_bundle", "agent_queue", "defs_state_info",
    },
    "code_source": set(CODE_SOURCES),
    "git": {"commit_hash", "url", "provider", "repo_owner", "repo_name", "base_branch", "defs_base_path"},
    "pex_metadata": {"pex_tag", "python_version"},
}  # fmt: skip


@dataclass(slots=True)
class LocationRecord:
    """A location of a deployment: what was deployed, and what the agent has made of it.

    :param document: as it was deployed last.
    :param timestamp: of that deployment.
    :param polls_left: how often it still shows as outdated; None if the agent never reports.
    :param loaded: the document that the agent has loaded last (with or without an error); None if none yet.
    :param error: why that could not be loaded.
    """

    document: dict[str, Any]
    timestamp: float
    polls_left: int | None
    loaded: dict[str, Any] | None = None
    error: PythonError | None = None

    @property
    def outdated(self) -> bool:
        """Whether the agent has yet to report about the document that was deployed last."""
        return self.polls_left != 0


@dataclass(slots=True)
class Deployment:
    """A full deployment, or a branch deployment with what is known of its branch.

    :param branch: `branchData` of the last createOrUpdateBranchDeployment.
    :param commit: `commit` of it.
    :param base: `baseDeploymentName` of it.
    """

    name: str
    identity: int
    kind: Literal["PRODUCTION", "BRANCH"] = "PRODUCTION"
    branch: dict[str, Any] | None = None
    commit: dict[str, Any] | None = None
    base: str | None = None
    snapshot_condition: str | None = None
    locations: dict[str, LocationRecord] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)


def branch_deployment_name(repository: str, branch: str) -> str:
    """A branch deployment's name: hexadecimal, the same for the same branch of the same repository."""
    return hashlib.sha1(f"{repository}:{branch}".encode(), usedforsecurity=False).hexdigest()


def problems(document: object) -> list[str]:
    """Why a location document is not valid; empty if it is."""
    if not isinstance(document, dict):
        return ["the location is not a mapping"]
    found = []
    for section, allowed in _KEYS.items():
        part = document.get(section, {}) if section else document
        if not isinstance(part, dict):
            found.append(f"{section} is not a mapping")
            continue
        place = f"at path root:{section}" if section else "at the root"
        found += [f'Received unexpected config entry "{key}" {place}' for key in sorted(set(part) - allowed)]
        found += [f'Value of "{key}" {place} is null' for key in sorted(part) if part[key] is None]
    name = document.get("location_name")
    if not isinstance(name, str) or not name:
        found.append('Missing required config entry "location_name" at the root')
    sources = document.get("code_source")
    given = [key for key in CODE_SOURCES if isinstance(sources, dict) and sources.get(key)]
    if len(given) != 1:
        found.append(f"Must supply exactly one of {', '.join(CODE_SOURCES)}; got {', '.join(given) or 'none'}")
    pex = document.get("pex_metadata")
    if isinstance(pex, dict) and not str(pex.get("pex_tag", "")).startswith("files="):
        found.append('Missing or malformed "pex_tag" at path root:pex_metadata')
    if not (document.get("image") or pex):
        found.append("Must supply an image or pex_metadata")
    return found


def metadata(document: Mapping[str, Any]) -> str:
    """A document as the agent gets it: CodeLocationDeployData, in dagster's serialization."""
    from dagster_cloud_cli.core import workspace  # noqa: PLC0415  (start-up time)
    from dagster_shared.serdes.objects.models.defs_state_info import DefsStateInfo  # noqa: PLC0415
    from dagster_shared.serdes.serdes import serialize_value  # noqa: PLC0415

    git, pex, source = (document.get(key) for key in ("git", "pex_metadata", "code_source"))
    states = document.get("defs_state_info")
    plain = ("image", "working_directory", "executable_path", "attribute", "agent_queue", "container_context")
    return serialize_value(
        workspace.CodeLocationDeployData(
            **{key: document[key] for key in plain if key in document},
            **{key: value for key, value in (source or {}).items() if value},
            git_metadata=workspace.GitMetadata(**git) if git else None,
            pex_metadata=workspace.PexMetadata(**pex) if pex else None,
            defs_state_info=DefsStateInfo(**states) if states else None,
        )
    )


class Organization:
    """All deployments, and an agent that loads what is deployed after so many polls."""

    def __init__(self) -> None:
        # What locations that run define, and the variables of full deployments (False) and branch ones (True).
        self.definitions: dict[str, list[str]] = {}
        self.secrets: dict[bool, dict[str, str]] | None = {False: {}, True: {}}
        self.deployments: dict[str, Deployment] = {}
        self.polls_to_load: int | None = 1
        self.load_errors: dict[str, PythonError] = {}
        self.agent_running = True
        self._identities = itertools.count(1)
        self._lock = threading.RLock()
        self.add_deployment("prod")

    def add_deployment(self, name: str) -> Deployment:
        """One more full deployment."""
        with self._lock:
            return self.deployments.setdefault(name, Deployment(name, next(self._identities)))

    def deploy(self, deployment: Deployment, document: Mapping[str, Any]) -> LocationRecord:
        """Add or update one location; the agent has not heard of it yet."""
        with self._lock:
            name = document["location_name"]
            old = deployment.locations.get(name)
            record = LocationRecord(
                dict(document),
                time.time(),
                self.polls_to_load,
                old.loaded if old else None,
                old.error if old else None,
            )
            if record.polls_left == 0:
                self._load(name, record)
            deployment.locations[name] = record
            return record

    def advance(self, deployment: Deployment) -> None:
        """After somebody has looked at the locations: the agent has got on with its work."""
        with self._lock:
            for name, record in deployment.locations.items():
                if record.polls_left:
                    record.polls_left -= 1
                    if record.polls_left == 0:
                        self._load(name, record)

    def branch_deployment(
        self, branch: dict[str, Any], commit: dict[str, Any], base: str | None, condition: str | None
    ) -> Deployment:
        """Create or update the deployment of a branch; raises KeyError if its base is unknown."""
        with self._lock:
            if base is not None and self.deployments[base].kind == "BRANCH":
                raise KeyError(base)
            name = branch_deployment_name(branch["repoName"], branch["branchName"])
            deployment = self.deployments.get(name) or Deployment(name, next(self._identities), "BRANCH")
            self.deployments[name] = deployment
            deployment.branch, deployment.commit = branch, commit
            deployment.base, deployment.snapshot_condition = base or deployment.base or "prod", condition
            return deployment

    def _load(self, name: str, record: LocationRecord) -> None:
        record.loaded = record.document
        record.error = self.load_errors.get(name)
