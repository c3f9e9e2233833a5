"""Dagster Cloud's GraphQL API: queries are parsed, validated and executed by graphql-core."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import graphql

from tests.support.cloud import faults
from tests.support.cloud.deployments import (
    Deployment,
    LocationRecord,
    Organization,
    branch_deployment_name,
    metadata,
    problems,
)

REGISTRY_URL = "764506304434.dkr.ecr.us-west-2.amazonaws.com/serverless-registry-test"
REGISTRY_TOKEN = base64.b64encode(b"AWS:the-password-of-the-registry").decode()

# The clients prove UnauthorizedError for addOrUpdateLocationFromDocument only, but a server may answer so to any
# mutation, and to a client it makes no difference which it is: it may meet a type that it did not ask for.
_UNPROVEN = """
    extend union DeployLocationsResult = UnauthorizedError
    extend union BranchDeploymentResult = UnauthorizedError
"""


class UrlSigner(Protocol):
    """Makes a presigned URL of a file of the registry."""

    def __call__(self, name: str, method: str, *, expired: bool) -> str: ...


@dataclass(frozen=True, slots=True)
class Operation:
    """A query or mutation that the schema admits.

    :param name: as its text says; empty if it has none.
    :param fields: the names of its root fields.
    :param arguments: of each root field.
    """

    document: graphql.DocumentNode
    name: str
    fields: tuple[str, ...]
    arguments: dict[str, dict[str, Any]]

    @property
    def labels(self) -> set[str]:
        """What faults may name it by."""
        method = self.arguments.get("generateServerlessPexUrl", {}).get("method", "PUT")
        return {"graphql", self.name, *self.fields} | {
            f"{field}:{method}" for field in self.fields if field == "generateServerlessPexUrl"
        }

    @property
    def names(self) -> list[str]:
        """The files and locations that it is about."""
        found: list[str] = []
        for arguments in self.arguments.values():
            found += arguments.get("filenames") or []
            found += _location_names(arguments.get("document"))
        return found


def parse(text: str, variables: Mapping[str, Any]) -> Operation:
    """What a request asks for; raises graphql.GraphQLError if the proven schema does not admit it."""
    document = graphql.parse(text)
    if errors := graphql.validate(_proven_schema(), document):
        raise errors[0]
    operation = next(node for node in document.definitions if isinstance(node, graphql.OperationDefinitionNode))
    arguments = {
        field.name.value: {
            argument.name.value: graphql.value_from_ast_untyped(argument.value, dict(variables))
            for argument in field.arguments or ()
        }
        for field in operation.selection_set.selections
        if isinstance(field, graphql.FieldNode)
    }
    return Operation(document, operation.name.value if operation.name else "", tuple(arguments), arguments)


class Api:
    """What answers the queries of one organization."""

    def __init__(self, organization: Organization, plan: faults.FaultPlan, sign: UrlSigner) -> None:
        self.registry_is_harbor = False
        self.registry_url: str | None = REGISTRY_URL
        self.registry_token: str | None = REGISTRY_TOKEN
        self.registry_allows_custom_base = True
        self._organization = organization
        self._plan = plan
        self._sign = sign

    def execute(
        self, operation: Operation, variables: Mapping[str, Any], deployment: Deployment | None
    ) -> dict[str, Any]:
        """The JSON object that answers an operation on a deployment, or on the organization."""
        root: dict[str, Callable[..., object]] = {
            name: self._guarded(operation, name, function, deployment)
            for name, function in self._resolvers().items()
        }
        result = graphql.execute_sync(_schema(), operation.document, root, variable_values=dict(variables))
        if deployment is not None and {"workspace", "workspaceOrError"} & set(operation.fields):
            self._organization.advance(deployment)
        return dict(result.formatted)

    def _guarded(
        self,
        operation: Operation,
        name: str,
        function: Callable[..., object],
        deployment: Deployment | None,
    ) -> Callable[..., object]:
        """A resolver that faults may stand in for."""

        def resolve(_info: graphql.GraphQLResolveInfo[Any], **arguments: Any) -> object:  # noqa: ANN401
            labels = {"graphql", operation.name, name}
            match self._plan.due(labels, _location_names(arguments.get("document")), faults.ON_FIELDS):
                case faults.InvalidLocation(errors):
                    return {"__typename": "InvalidLocationError", "errors": list(errors)}
                case faults.Unauthorized(message):
                    return {"__typename": "UnauthorizedError", "message": message}
                case faults.PythonError() as error:
                    return error.answer()
            return function(deployment, **arguments)

        return resolve

    def _resolvers(self) -> dict[str, Callable[..., object]]:
        return {
            "fullDeployments": lambda _: [
                _deployment(each) for each in self._organization.deployments.values() if each.kind != "BRANCH"
            ],
            "deploymentByName": lambda _, name: self._by_name(name),
            "deployments": lambda _, **arguments: self._deployments(**arguments),
            "getBranchDeploymentName": lambda _, **arguments: _branch_name(**arguments),
            "organizationSettings": lambda _: {"settings": {"sso_default_role": "VIEWER"}},
            "serverless": lambda _: self._serverless(),
            "currentDeployment": lambda deployment: _deployment(_scoped(deployment)),
            "agents": lambda _, **__: self._agents(),
            "workspace": lambda deployment: {"workspaceEntries": _entries(_scoped(deployment))},
            "workspaceOrError": lambda deployment: _workspace(_scoped(deployment)),
            "locationsAsDocument": lambda deployment: {
                "document": {"locations": [one.document for one in _scoped(deployment).locations.values()]}
            },
            "generateServerlessPexUrl": self._urls,
            "addOrUpdateLocationFromDocument": self._add_or_update,
            "deployLocations": self._deploy,
            "deleteLocation": self._delete_location,
            "createOrUpdateBranchDeployment": lambda _, **arguments: self._branch_deployment(**arguments),
            "deleteDeployment": self._delete_deployment,
            "latestDefsStateInfo": lambda deployment: _states(_scoped(deployment)),
            "setLatestDefsStateVersion": lambda deployment, **arguments: _set_state(
                _scoped(deployment), **arguments
            ),
            "secretsOrError": lambda deployment, **arguments: self._secrets(_scoped(deployment), **arguments),
            "repositoriesOrError": lambda _: self._repositories(),
            "markCliEvent": lambda _, **__: "ok",
        }

    def _secrets(self, _: Deployment, scopes: dict[str, bool], onlyViewable: bool) -> dict[str, Any]:  # noqa: FBT001, N803
        if self._organization.secrets is None or not onlyViewable:
            return {"__typename": "UnauthorizedError", "message": "User does not have permission to view secrets"}
        values = self._organization.secrets["allBranchDeploymentsScope" in scopes]
        return {
            "__typename": "Secrets",
            "secrets": [
                {"localDeploymentScope": False, "secretName": name, "secretValue": value, "locationNames": []}
                for name, value in values.items()
            ],
        }

    def _repositories(self) -> dict[str, Any]:
        nodes = [
            {
                "location": {"name": name},
                "assetNodes": [{"id": asset, "name": asset} for asset in assets],
                "jobs": [{"id": "1", "name": "__ASSET_JOB"}],
                "schedules": [],
                "sensors": [],
            }
            for name, assets in self._organization.definitions.items()
        ]
        return {"__typename": "RepositoryConnection", "nodes": nodes}

    def _by_name(self, name: str) -> dict[str, Any]:
        known = self._organization.deployments.get(name)
        return _deployment(known) if known else _python_error(f"DeploymentNotFound: {name}")

    def _deployments(
        self, deploymentNames: list[str] | None = None, includeAllServerlessDeployments: bool | None = None  # noqa: FBT001, N803
    ) -> list[dict[str, Any]]:  # fmt: skip
        return [
            _deployment(each)
            for each in self._organization.deployments.values()
            if includeAllServerlessDeployments or each.name in (deploymentNames or [])
        ]

    def _serverless(self) -> dict[str, Any]:
        return {
            "awsRegion": "us-west-2",
            "awsAuthToken": self.registry_token,
            "registryAllowCustomBase": self.registry_allows_custom_base,
            "registryIsHarbor": self.registry_is_harbor,
            "registryUrl": self.registry_url,
        }

    def _agents(self) -> list[dict[str, Any]]:
        status = "RUNNING" if self._organization.agent_running else "NOT_RUNNING"
        return [{"id": "agent", "status": status, "errors": []}]

    def _urls(self, _: Deployment | None, filenames: list[str], method: str = "PUT") -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = []
        for name in filenames:
            if "/" in name or not name:
                raise graphql.GraphQLError(f"Invalid filename {name!r}")
            labels = {"graphql", "generateServerlessPexUrl", f"generateServerlessPexUrl:{method}"}
            match self._plan.due(labels, [name], faults.ON_URLS):
                case faults.NullUrl():
                    answer.append({"url": None})
                case faults.FewerUrls():
                    pass
                case fault:
                    expired = isinstance(fault, faults.ExpiredUrl)
                    answer.append({"url": self._sign(name, method, expired=expired)})
        return answer

    def _add_or_update(self, deployment: Deployment | None, document: object) -> dict[str, Any]:
        target = _scoped(deployment)
        if errors := problems(document):
            return {"__typename": "InvalidLocationError", "errors": errors}
        assert isinstance(document, dict)
        record = self._organization.deploy(target, document)
        return {"__typename": "WorkspaceEntry", **_entry(document["location_name"], record)}

    def _deploy(self, deployment: Deployment | None, document: object) -> dict[str, Any]:
        target = _scoped(deployment)
        locations = document.get("locations") if isinstance(document, dict) else None
        if not isinstance(document, dict) or not isinstance(locations, list) or set(document) != {"locations"}:
            return {"__typename": "InvalidLocationError", "errors": ["the document must hold `locations` only"]}
        errors = [problem for each in locations for problem in problems(each)]
        names = _location_names(document)
        errors += [f"duplicate location name: {name}" for name in sorted(set(names)) if names.count(name) > 1]
        if errors:
            return {"__typename": "InvalidLocationError", "errors": errors}
        deployed = [_entry(each["location_name"], self._organization.deploy(target, each)) for each in locations]
        return {"__typename": "DeployLocationsSuccess", "locations": deployed}

    def _delete_location(self, deployment: Deployment | None, locationName: str) -> dict[str, Any]:  # noqa: N803
        if _scoped(deployment).locations.pop(locationName, None) is None:
            return _python_error(f"LocationNotFound: {locationName}")
        return {"__typename": "DeleteLocationSuccess", "locationName": locationName}

    def _branch_deployment(
        self,
        branchData: dict[str, Any],  # noqa: N803
        commit: dict[str, Any],
        baseDeploymentName: str | None = None,  # noqa: N803
        snapshotBaseCondition: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        try:
            return _deployment(
                self._organization.branch_deployment(branchData, commit, baseDeploymentName, snapshotBaseCondition)
            )
        except KeyError as error:
            return _python_error(f"There is no full deployment named {error.args[0]}")

    def _delete_deployment(self, _: Deployment | None, deploymentId: int) -> dict[str, Any]:  # noqa: N803
        for name, each in self._organization.deployments.items():
            if each.identity == deploymentId and each.kind == "BRANCH":
                return _deployment(self._organization.deployments.pop(name))
        return _python_error(f"There is no branch deployment {deploymentId}")


@functools.cache
def _proven_schema() -> graphql.GraphQLSchema:
    return graphql.build_schema(Path(__file__).with_name("schema.graphql").read_text(encoding="utf-8"))


@functools.cache
def _schema() -> graphql.GraphQLSchema:
    return graphql.extend_schema(_proven_schema(), graphql.parse(_UNPROVEN))


def _location_names(document: object) -> list[str]:
    """The names in a location document, or in a document of several locations."""
    if not isinstance(document, dict):
        return []
    several = document.get("locations")
    each = several if isinstance(several, list) else [document]
    return [str(one["location_name"]) for one in each if isinstance(one, dict) and "location_name" in one]


def _states(deployment: Deployment) -> dict[str, Any]:
    return {
        "keyStateInfo": [
            {"name": key, "info": {"version": version, "createTimestamp": 1.0}}
            for key, version in deployment.states.items()
        ]
    }


def _set_state(deployment: Deployment, key: str, version: str) -> dict[str, Any]:
    deployment.states[key] = version
    return {"ok": True}


def _scoped(deployment: Deployment | None) -> Deployment:
    # What the real server does without a deployment is not known: its clients always name one for these fields.
    if deployment is None:
        raise graphql.GraphQLError("This field needs a deployment, by URL or by header")
    return deployment


def _branch_name(repoName: str, branchName: str) -> str:  # noqa: N803

    return branch_deployment_name(repoName, branchName)


def _python_error(message: str) -> dict[str, Any]:
    return faults.PythonError(message, ()).answer()


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "__typename": "DagsterCloudDeployment",
        "deploymentName": deployment.name,
        "deploymentId": deployment.identity,
        "deploymentType": deployment.kind,
        "agentType": "SERVERLESS",
        "isBranchDeployment": deployment.kind == "BRANCH",
        "workspaceEntries": lambda _info, **_: _entries(deployment),
    }


def _entries(deployment: Deployment) -> list[dict[str, Any]]:
    return [_entry(name, record) for name, record in list(deployment.locations.items())]


def _entry(name: str, record: LocationRecord) -> dict[str, Any]:
    return {
        "locationName": name,
        "serializedDeploymentMetadata": metadata(record.document),
        "hasOutdatedData": record.outdated,
        "hasLoadError": record.error is not None,
        "metadataTimestamp": record.timestamp,
    }


def _workspace(deployment: Deployment) -> dict[str, Any]:
    entries = []
    for name, record in list(deployment.locations.items()):
        loaded: dict[str, Any] | None = None
        if record.error is not None:
            loaded = record.error.answer()
        elif record.loaded is not None:
            loaded = {"__typename": "RepositoryLocation", "name": name}
        # An old version goes on being shown as loaded while the agent has yet to report about the new one.
        status = "LOADED" if record.loaded is not None else "LOADING"
        entries.append({"name": name, "loadStatus": status, "locationOrLoadError": loaded})
    return {"__typename": "Workspace", "locationEntries": entries}
