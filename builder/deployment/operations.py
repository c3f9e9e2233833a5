"""The GraphQL operations of Dagster Cloud that the builder uses.

Their texts are those of `dagster_cloud_cli`; a test holds them equal. The package is not imported for them: that
would unpack half of builder.pex and import `requests`.
"""

from __future__ import annotations

from typing import Final

CLIENT_VERSION: Final = "1.13.27"
"""The version of dagster-cloud-cli that these texts are from; sent to the server."""

LOCATIONS_QUERY: Final = """
query BuilderLocations {
    workspace {
        workspaceEntries {
            locationName
            serializedDeploymentMetadata
            hasOutdatedData
            metadataTimestamp
        }
    }
    workspaceOrError {
        __typename
        ... on Workspace {
            locationEntries {
                name
                loadStatus
                locationOrLoadError {
                    __typename
                    ... on PythonError {
                        message
                        stack
                        errorChain { isExplicitLink error { message stack } }
                    }
                }
            }
        }
        ... on PythonError { message }
    }
}
"""
"""`WORKSPACE_ENTRIES_QUERY` of dagster_cloud's agent and `REPOSITORY_LOCATIONS_QUERY`, at the same moment."""

DEFINITIONS_QUERY: Final = """
query BuilderDefinitions {
    repositoriesOrError {
        __typename
        ... on RepositoryConnection {
            nodes {
                location { name }
                assetNodes { id }
                jobs { name }
                schedules { name }
                sensors { name }
            }
        }
    }
}
"""
"""What the locations of a deployment define; the fields are those of dagster's own GraphQL."""

PEX_URLS_MUTATION: Final = """
mutation GenerateServerlessPexUrlMutation($filenames: [String!]!) {
    generateServerlessPexUrl(filenames: $filenames, method:%s) {
        url
    }
}
"""
"""As in `dagster_cloud_cli.core.pex_builder.pex_registry`; `%s` is the method, PUT or GET."""

FULL_DEPLOYMENTS_QUERY: Final = """
query CliDeploymentsQuery {
    fullDeployments {
        deploymentName
        deploymentId
        deploymentType
    }
}
"""

GET_ECR_CREDS_QUERY: Final = """
query CliGetEcrInfo {
    serverless {
        awsRegion
        awsAuthToken
        registryAllowCustomBase
        registryIsHarbor
        registryUrl
    }
}
"""

CREATE_OR_UPDATE_BRANCH_DEPLOYMENT: Final = """
mutation CliCreateOrUpdateBranchDeployment(
    $branchData: CreateOrUpdateBranchDeploymentInput!
    $commit: DeploymentCommitInput!
    $baseDeploymentName: String
    $snapshotBaseCondition: SnapshotBaseDeploymentCondition
) {
    createOrUpdateBranchDeployment(
        branchData: $branchData,
        commit: $commit,
        baseDeploymentName: $baseDeploymentName,
        snapshotBaseCondition: $snapshotBaseCondition,
    ) {
        __typename
        ... on DagsterCloudDeployment {
            deploymentId
            deploymentName
        }
        ... on PythonError {
            message
        }
    }
}
"""

WORKSPACE_ENTRIES_QUERY: Final = """
query CliWorkspaceEntries {
    workspace {
        workspaceEntries {
            locationName
            serializedDeploymentMetadata
        }
    }
}
"""

REPOSITORY_LOCATIONS_QUERY: Final = """
query CliLocationsQuery {
  workspaceOrError {
    __typename
    ... on Workspace {
        locationEntries {
            __typename
            name
            loadStatus
            locationOrLoadError {
                __typename
                ... on RepositoryLocation {
                    name
                }
                ... on PythonError {
                    message
                    stack
                    errorChain {
                        isExplicitLink
                        error {
                            message
                            stack
                        }
                    }
                }
            }
        }
    }
    ... on PythonError {
        message
        stack
    }
  }
}
"""

AGENT_TYPE_QUERY: Final = """
query DeploymentInfoQuery {
\tcurrentDeployment {
        agentType
    }
}
"""

AGENT_STATUS_QUERY: Final = """
query CliAgentStatus {
    agents {
        status
        errors {
            error {
                message
            }
        }
    }
}
"""

DEPLOY_LOCATIONS_FROM_DOCUMENT_MUTATION: Final = """
mutation CliDeployLocations($document: GenericScalar!) {
    deployLocations(document: $document) {
        __typename
        ... on DeployLocationsSuccess {
            locations {
                locationName
            }
        }
        ... on PythonError {
            message
            stack
        }
        ... on InvalidLocationError {
            errors
        }
    }
}
"""

ADD_OR_UPDATE_LOCATION_FROM_DOCUMENT_MUTATION: Final = """
mutation CliAddOrUpdateLocation($document: GenericScalar!) {
    addOrUpdateLocationFromDocument(document: $document) {
        __typename
        ... on WorkspaceEntry {
            locationName
        }
        ... on PythonError {
            message
            stack
        }
        ... on InvalidLocationError {
            errors
        }
        ... on UnauthorizedError {
            message
        }
    }
}
"""
