"""URLs of files in the registry: one for each, or an error that names the file."""

from __future__ import annotations

from typing import Literal

import pytest

from builder.deployment import graphql
from builder.deployment.cloud import DagsterCloudClient
from builder.errors import CloudError
from tests.support.cloud import CloudServer, faults
from tests.support.errors import words


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_urls_come_in_the_order_of_the_names(cloud: DagsterCloudClient, method: Literal["PUT", "GET"]) -> None:
    names = ["source-1.pex", "deps-1.pex", "requirements-1.txt"]

    urls = cloud.presigned_urls(names, method)

    assert [url.partition("?")[0].rpartition("/")[2] for url in urls] == names


@pytest.mark.parametrize("fault", [faults.NullUrl(), faults.FewerUrls()])
def test_a_missing_url_is_an_error_that_names_the_file(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault
) -> None:
    server.inject("generateServerlessPexUrl:PUT", fault, name="deps-*")

    with pytest.raises(CloudError, match="gave no URL to upload") as caught:
        cloud.presigned_urls(["deps-1.pex"], "PUT")

    assert "`deps-1.pex`" in caught.value.what


def test_only_the_file_without_a_url_is_named(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("generateServerlessPexUrl:GET", faults.NullUrl(), name="deps-*")

    with pytest.raises(CloudError, match=r"`deps-1\.pex`") as caught:
        cloud.presigned_urls(["source-1.pex", "deps-1.pex"], "GET")

    assert "source-1" not in words(caught.value)
    assert server.leaks([words(caught.value)]) == []


def test_fewer_urls_than_files_are_not_taken_for_the_first_ones(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("generateServerlessPexUrl:PUT", faults.FewerUrls(), name="source-*")

    with pytest.raises(CloudError, match=r"gave no URL to upload `source-1\.pex`, `deps-1\.pex`"):
        cloud.presigned_urls(["source-1.pex", "deps-1.pex"], "PUT")


def test_no_data_instead_of_urls_names_the_files(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("generateServerlessPexUrl:PUT", faults.NullData())

    with pytest.raises(CloudError, match=r"`source-1\.pex`, `deps-1\.pex`"):
        cloud.presigned_urls(["source-1.pex", "deps-1.pex"], "PUT")


def test_urls_are_asked_for_again_after_a_time_out(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.5))
    server.inject("generateServerlessPexUrl:PUT", faults.Hang(), times=1)

    assert len(cloud.presigned_urls(["source-1.pex"], "PUT")) == 1
