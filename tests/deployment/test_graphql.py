"""Requests to Dagster Cloud: where they go, what is tried again or waited for; each way to fail has its words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from builder.deployment import graphql
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.cloud_errors import UnknownOutcomeError
from builder.deployment.organization import Organization
from builder.errors import CloudError, Notice
from builder.system import http, process
from tests.support.cloud import CloudServer, faults
from tests.support.errors import words

TOKEN = "user:a-token"
URL = "https://acme.dagster.cloud"


def check_access(organization: Organization) -> tuple[str, ...]:
    with DagsterCloudClient(organization, lambda _: None) as cloud:
        return cloud.check_access()


def test_a_request_is_scoped_as_the_real_client_scopes_it(cloud: DagsterCloudClient, server: CloudServer) -> None:
    cloud.check_access()
    cloud.entries("prod")

    organization, deployment = server.requests
    assert (organization.path, organization.headers.get("Dagster-Cloud-Deployment")) == ("/graphql", None)
    assert (deployment.path, deployment.headers.get("Dagster-Cloud-Deployment")) == ("/prod/graphql", "prod")
    assert organization.headers["Dagster-Cloud-Scope"] == "deployment"


def test_the_full_deployments_are_named(cloud: DagsterCloudClient) -> None:
    assert cloud.check_access() == ("prod",)


def test_a_name_cannot_lead_out_of_its_place_in_the_address(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    with pytest.raises(CloudError, match="no such organization or deployment"):
        cloud.entries("a/b?c")

    assert server.requests[0].path == "/a%2Fb%3Fc/graphql"


def test_a_refused_token_is_told_without_showing_it(server: CloudServer) -> None:
    with pytest.raises(CloudError, match="refuses the token") as caught:
        check_access(Organization(server.url, "user:of-someone-else"))

    assert "DAGSTER_CLOUD_API_TOKEN" in (caught.value.remedy or "")
    assert "someone" not in words(caught.value)


@pytest.mark.parametrize(
    "fault, said",
    [
        (faults.Status(403), "not allowed"),
        (faults.Status(404), "no such organization"),
        (faults.Status(500), "HTTP 500"),
        (faults.Status(503), "HTTP 503; tried 4 times"),
        (faults.Status(200), "does not answer as Dagster Cloud does"),
        (faults.Status(302), "HTTP 302"),
        (faults.Status(429, retry_after="100000"), "left alone for 100000 seconds"),
        (faults.Status(429, retry_after="Wed, 21 Oct 2099 07:28:00 GMT"), "left alone for"),
        (faults.Reset(), "cut the connection"),
        (faults.GraphQLErrors("Internal Server Error (Trace ID: 7)"), "Internal Server Error (Trace ID: 7)"),
        (faults.NullData(), "without data"),
    ],
)
def test_each_failure_has_its_words(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault, said: str
) -> None:
    server.inject("graphql", fault)

    with pytest.raises(CloudError) as caught:
        cloud.check_access()

    assert said in words(caught.value)
    assert server.url.removeprefix("http://") in caught.value.what
    assert caught.value.remedy
    assert "{'" not in words(caught.value)


def test_a_server_that_repeats_the_token_does_not_get_it_shown(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("graphql", faults.GraphQLErrors(f"not a token: {server.token}"))

    with pytest.raises(CloudError) as caught:
        cloud.check_access()

    assert caught.value.detail == "not a token: [token]"


def test_what_may_be_tried_again_is(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("graphql", faults.Status(503), times=1)
    server.inject("graphql", faults.Status(429, retry_after="0"), times=1)
    server.inject("graphql", faults.Reset(), times=1)

    assert cloud.check_access() == ("prod",)


def test_a_server_that_never_answers_is_given_up(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.05))
    server.inject("graphql", faults.Hang())

    with pytest.raises(UnknownOutcomeError, match="did not answer in time"):
        cloud.check_access()

    assert len(server.requests) == 1 + graphql.RETRIES


def test_a_host_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0)

    def unknown(*_args: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # What the machine's DNS answers is nothing that a test may rely on.
    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(CloudError, match=r"`acme\.dagster\.cloud` cannot be found"):
        check_access(Organization(URL, TOKEN))


def test_a_refused_connection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0)
    with socket.socket() as closed:
        # Bound but not listening: nobody else gets the port, and nobody answers.
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

        with pytest.raises(CloudError, match="cannot be reached: Connection refused"):
            check_access(Organization(url, TOKEN))


class _Elsewhere(BaseHTTPRequestHandler):
    """Sends every request to another host; keeps what it was asked."""

    target = ""
    seen: list[str]

    def do_POST(self) -> None:
        self.seen.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(307)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def serve() -> Iterator[Callable[[type[BaseHTTPRequestHandler]], HTTPServer]]:
    running: list[tuple[HTTPServer, threading.Thread]] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> HTTPServer:
        server = HTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_redirection_does_not_get_the_token(
    serve: Callable[[type[BaseHTTPRequestHandler]], HTTPServer], server: CloudServer
) -> None:
    handler = type("Handler", (_Elsewhere,), {"target": f"{server.url}/graphql", "seen": []})
    host = f"127.0.0.1:{serve(handler).server_address[1]}"

    with pytest.raises(CloudError, match="sends elsewhere"):
        check_access(Organization(f"http://{host}", TOKEN))

    assert server.requests == []


def test_a_server_that_does_not_speak_tls_is_not_trusted(
    serve: Callable[[type[BaseHTTPRequestHandler]], HTTPServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PAUSE", 0)
    host = f"127.0.0.1:{serve(_Elsewhere).server_address[1]}"

    with pytest.raises(CloudError, match="is not trusted") as caught:
        check_access(Organization(f"https://{host}", TOKEN))

    assert "SSL_CERT_FILE" in (caught.value.remedy or "")
    assert "_ssl.c" not in caught.value.what


def test_maintenance_is_waited_for_and_told_once(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice]
) -> None:
    server.inject("graphql", faults.Maintenance("back at nine", retry_interval=0.001), times=3)

    assert cloud.check_access() == ("prod",)

    assert ["back at nine" in notice.text for notice in notices] == [True]


def test_maintenance_without_end_is_an_error(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("graphql", faults.Maintenance("back at nine", timeout=57600, retry_interval=30))

    with pytest.raises(CloudError, match="is being maintained") as caught:
        cloud.check_access()

    assert caught.value.detail == "back at nine"


def test_maintenance_is_waited_for_no_longer_than_the_server_says(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("graphql", faults.Maintenance("back at nine", timeout=0.01, retry_interval=0.004))

    with pytest.raises(CloudError, match="is being maintained"):
        cloud.check_access()

    # 0.004, 0.004, and the 0.002 that are left.
    assert len(server.requests) == 4


def test_waiting_for_maintenance_ends_with_the_run(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr(process, "stopping", stopping)
    server.inject("graphql", faults.Maintenance())

    with pytest.raises(CloudError, match="stopped"):
        cloud.check_access()

    assert len(server.requests) == 1
