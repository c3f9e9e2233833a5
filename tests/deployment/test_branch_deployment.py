"""Making a branch deployment, or bringing it up to date."""

from __future__ import annotations

import pytest

from builder.deployment.cloud import DagsterCloudClient, SnapshotCondition
from builder.deployment.context import Commit, PullRequest
from builder.deployment.destination import BranchDeployment, GitMetadata
from builder.errors import CloudError
from tests.support.cloud import CloudServer

COMMIT = Commit(
    hash="1a2b3c",
    timestamp=1700000000.5,
    message="Fix it",
    author_name="Ann",
    author_email="ann@example.org",
    url="https://git/c",
    avatar_url="https://git/a.png",
)


def branch(base: str | None = None, pull_request: PullRequest | None = None) -> BranchDeployment:
    return BranchDeployment(
        repository="acme/dags",
        branch="fix",
        branch_url="https://git/tree/fix",
        commit=COMMIT,
        pull_request=pull_request,
        status="OPEN",
        base_deployment=base,
        git=GitMetadata(commit_hash="1a2b3c"),
    )


def test_a_branch_deployment_gets_all_that_is_known(cloud: DagsterCloudClient, server: CloudServer) -> None:
    pull_request = PullRequest(
        number="7", url="https://git/pull/7", status="CLOSED", branch="fix", branch_url=None
    )

    name = cloud.create_or_update_branch_deployment(branch("prod", pull_request))

    made = server.deployments[name]
    assert made.base == "prod"
    assert made.branch is not None
    assert made.branch["pullRequestNumber"] == "7"
    assert made.branch["pullRequestUrl"] == "https://git/pull/7"
    assert made.branch["pullRequestStatus"] == "OPEN"
    assert made.commit == {
        "commitHash": "1a2b3c",
        "timestamp": 1700000000.5,
        "commitMessage": "Fix it",
        "commitUrl": "https://git/c",
        "authorName": "Ann",
        "authorEmail": "ann@example.org",
        "authorAvatarUrl": "https://git/a.png",
    }


@pytest.mark.parametrize("condition", ["ON_CREATE", "ON_UPDATE", None])
def test_a_branch_deployment_can_copy_its_base(
    cloud: DagsterCloudClient, server: CloudServer, condition: SnapshotCondition | None
) -> None:
    cloud.create_or_update_branch_deployment(branch("prod"), condition)

    assert server.requests[-1].variables["snapshotBaseCondition"] == condition


def test_a_branch_deployment_that_is_refused_is_an_error(cloud: DagsterCloudClient) -> None:
    with pytest.raises(CloudError, match="no deployment for the branch `fix`") as caught:
        cloud.create_or_update_branch_deployment(branch("staging"))

    assert caught.value.detail == "There is no full deployment named staging"
    assert "`staging`" in (caught.value.remedy or "")
