"""What a test injects into the test server happens, as often and to what it says."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.support.cloud import CloudServer, faults
from tests.support.cloud.queries import HTTP, deploy, document, post, presigned


def outcome(method: str, url: str, content: bytes | None = None) -> int | str:
    try:
        return HTTP.request(method, url, content=content).status_code
    except httpx.TransportError:
        return "broken"


@pytest.mark.parametrize(
    "fault, answer, stored",
    [
        (faults.Status(403), 403, None),
        (faults.Status(503), 503, None),
        (faults.Reset(), "broken", None),
        (faults.LostReply(), "broken", b"0123456789"),
        (faults.Truncate(), 200, b"01234"),
        (faults.Corrupt(), 200, bytes(byte ^ 0xFF for byte in b"0123456789")),
        (faults.Lose(), 200, None),
    ],
)
def test_faults_of_put(cloud: CloudServer, fault: faults.Fault, answer: int | str, stored: bytes | None) -> None:
    cloud.inject("PUT", fault, name="deps-*", times=1, after=1)
    source, deps = presigned(cloud, "PUT", "source-1.pex", "deps-1.pex")
    assert outcome("PUT", source, b"source") == 200
    assert outcome("PUT", deps, b"before") == 200
    cloud.storage.delete_object("deps-1.pex")
    assert cloud.unused_faults() == [fault]
    assert outcome("PUT", deps, b"0123456789") == answer
    assert cloud.unused_faults() == []
    assert cloud.objects() == {"source-1.pex": b"source"} | ({"deps-1.pex": stored} if stored else {})
    assert outcome("PUT", deps, b"after") == 200
    assert cloud.objects()["deps-1.pex"] == b"after"


@pytest.mark.parametrize(
    "fault, answer",
    [
        (faults.Status(500), 500),
        (faults.Reset(), "broken"),
        (faults.Truncate(), "broken"),
        (faults.Lose(), 404),
        (faults.LostReply(), "broken"),
    ],
)
def test_faults_of_get(cloud: CloudServer, fault: faults.Fault, answer: int | str) -> None:
    cloud.storage.put_object("deps-1.pex", b"0123456789")
    (url,) = presigned(cloud, "GET", "deps-1.pex")
    cloud.inject("GET", fault, times=1)
    assert outcome("GET", url) == answer
    assert outcome("GET", url) == 200
    cloud.inject("GET", faults.Corrupt())
    assert HTTP.get(url).content == bytes(byte ^ 0xFF for byte in b"0123456789")


def test_faults_of_urls(cloud: CloudServer) -> None:
    cloud.inject("generateServerlessPexUrl:GET", faults.FewerUrls())
    cloud.inject("generateServerlessPexUrl", faults.NullUrl(), name="deps-*")
    source, deps = presigned(cloud, "PUT", "source-1.pex", "deps-1.pex")
    assert source is not None
    assert deps is None
    assert presigned(cloud, "GET", "source-1.pex") == []


def test_faults_of_graphql(cloud: CloudServer) -> None:
    query = "query { fullDeployments { deploymentName } }"
    cloud.inject("fullDeployments", faults.Status(429, retry_after="2"), times=1)
    cloud.inject("fullDeployments", faults.GraphQLErrors("boom"), times=1)
    cloud.inject("graphql", faults.Maintenance(retry_interval=7), times=1)
    cloud.inject("graphql", faults.NullData(), times=1)
    busy = post(cloud, query)
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
    assert post(cloud, query)["errors"] == [{"message": "boom"}]
    assert post(cloud, query)["maintenance"]["retry_interval"] == 7
    assert post(cloud, query) == {"data": None}
    cloud.inject("graphql", faults.Reset(), times=1)
    with pytest.raises(httpx.TransportError):
        post(cloud, query)
    assert "data" in post(cloud, query)


@pytest.mark.parametrize(
    "fault, kind",
    [
        (faults.InvalidLocation(("bad image",)), "InvalidLocationError"),
        (faults.Unauthorized(), "UnauthorizedError"),
        (faults.PythonError("boom"), "PythonError"),
    ],
)
def test_faults_of_mutations(cloud: CloudServer, fault: faults.Fault, kind: str) -> None:
    cloud.inject("deployLocations", fault, name="stock", times=1)
    assert deploy(cloud, document("sales"))["__typename"] == "DeployLocationsSuccess"
    assert deploy(cloud, document("sales"), document("stock"))["__typename"] == kind
    assert set(cloud.locations()) == {"sales"}
    cloud.inject("deployLocations", faults.LostReply(), times=1)
    with pytest.raises(httpx.TransportError):
        deploy(cloud, document("stock"))
    assert set(cloud.locations()) == {"sales", "stock"}


def test_faults_that_cannot_happen_are_refused(cloud: CloudServer) -> None:
    for on, fault in (("PUT", faults.NullUrl()), ("GET", faults.NullData()), ("deployLocations", faults.Lose())):
        with pytest.raises(TypeError):
            cloud.inject(on, fault)


@pytest.mark.parametrize("reading", [True, False])
def test_hanging_requests_end_when_the_server_is_closed(reading: bool) -> None:  # noqa: FBT001
    outcomes: list[int | str] = []
    with CloudServer() as cloud:
        cloud.inject("PUT", faults.Hang(reading=reading))
        (url,) = presigned(cloud, "PUT", "deps-1.pex")
        client = threading.Thread(target=lambda: outcomes.append(outcome("PUT", url, b"0" * 100_000)))
        client.start()
        cloud.wait_until_hanging()
        assert outcomes == []
    client.join(60)
    assert outcomes == ["broken"]
