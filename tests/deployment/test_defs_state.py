"""State that a deployment is to keep."""

from __future__ import annotations

import pytest

from builder.deployment.cloud import DagsterCloudClient
from builder.errors import CloudError
from tests.support.cloud import CloudServer, faults


@pytest.mark.parametrize("fault", [faults.Corrupt(one_byte=True), faults.Truncate(), faults.Lose()])
def test_state_that_never_arrives_whole_is_not_made_the_latest(
    server: CloudServer, cloud: DagsterCloudClient, fault: faults.Fault
) -> None:
    prod = server.deployments["prod"]
    prod.states.clear()
    server.inject("artifact", fault)
    with pytest.raises(CloudError, match="does not keep `__state__/a__b/1` as it was sent, twice"):
        cloud.keep_state("prod", "a[b", "1", b"some state")
    assert not prod.states
    server.heal()
    cloud.keep_state("prod", "a[b", "1", b"some state")
    assert prod.states == {"a[b": "1"}
    assert prod.artifacts["__state__/a__b/1"] == b"some state"
