"""The organization's registry of images, and whether its agents take PEX files."""

from __future__ import annotations

import pytest

from builder.deployment.cloud import DagsterCloudClient
from tests.support.cloud import CloudServer


def test_a_base_image_is_one_of_the_organizations_registry(cloud: DagsterCloudClient) -> None:
    assert cloud.base_image("mine").endswith(".amazonaws.com/serverless-registry-test:mine")


@pytest.mark.parametrize("harbor", [True, False])
def test_agents_on_harbor_take_no_pex_files(
    cloud: DagsterCloudClient, server: CloudServer, *, harbor: bool
) -> None:
    server.api.registry_is_harbor = harbor

    registry = cloud.registry("prod")

    assert registry.is_harbor is harbor
    assert registry.credentials == ("AWS", "the-password-of-the-registry")
