"""What a delivery is to upload, and what it is to update."""

from __future__ import annotations

from dataclasses import dataclass

from builder.deployment.cloud import SnapshotCondition
from builder.deployment.destination import BranchDeployment, ResolvedDestination
from builder.publishing.comparison import ReadBack


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """How PEX files are to be uploaded.

    :param check: how what was uploaded is read back.
    :param timeout: seconds that each file may take in all.
    :param read_tag: of the cache records to use; None for none.
    :param write_tag: of the cache records to write; None for none.
    :param force_rebuild: ignore the records.
    """

    check: ReadBack
    timeout: float
    read_tag: str | None = None
    write_tag: str | None = None
    force_rebuild: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is to be updated.

    :param choice: the deployment, and what it was chosen from.
    :param wait: seconds to wait until the locations are loaded; None not to wait.
    :param allow_empty: whether a location that has definitions may be updated to one that has none.
    :param snapshot_base: when a branch deployment copies the state of its base; None for never.
    :param if_changed: whether a location that runs the same already is left alone.
    """

    choice: ResolvedDestination
    wait: float | None
    allow_empty: bool = False
    snapshot_base: SnapshotCondition | None = None
    if_changed: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that the server will set for the code."""
        destination = self.choice.destination
        branch = destination if isinstance(destination, BranchDeployment) else None
        variables = {
            # The server names branch deployments itself.
            "DAGSTER_CLOUD_DEPLOYMENT_NAME": (
                destination.branch if isinstance(destination, BranchDeployment) else destination.name
            ),
            "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT": "1" if branch else "0",
            "DAGSTER_CLOUD_GIT_SHA": destination.git.commit_hash,
            "DAGSTER_CLOUD_GIT_URL": destination.git.url,
            "DAGSTER_CLOUD_GIT_BRANCH": branch.branch if branch else None,
            "DAGSTER_CLOUD_GIT_REPO": branch.repository if branch else None,
        }
        return {name: value for name, value in variables.items() if value is not None}

    @property
    def closed(self) -> BranchDeployment | None:
        """The branch deployment of a closed or merged pull request, to which nothing is deployed; else None."""
        destination = self.choice.destination
        return destination if isinstance(destination, BranchDeployment) and destination.status != "OPEN" else None
