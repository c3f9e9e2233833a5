"""Dagster Cloud is asked as its own client asks it, and each way to fail has its own words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Literal

import dagster_cloud_cli.version
import pytest
from dagster_cloud_cli import gql
from dagster_cloud_cli.core import graphql_client
from dagster_cloud_cli.core.pex_builder import pex_registry

from builder.deployment import graphql, operations, updating
from builder.deployment.cloud import DagsterCloudClient, SnapshotCondition
from builder.deployment.cloud_errors import UnknownOutcomeError
from builder.deployment.context import Commit, PullRequest
from builder.deployment.destination import BranchDeployment, GitMetadata
from builder.deployment.entries import Entry
from builder.deployment.login import Login, read_login
from builder.deployment.organization import Organization, read_organization
from builder.deployment.updating import NotUpdated
from builder.errors import CloudError, Notice
from builder.system import http, process
from tests.support.cloud import CloudServer, faults

TOKEN = "user:a-token"
URL = "https://acme.dagster.cloud"


@pytest.fixture(scope="module")
def one_server() -> Iterator[CloudServer]:
    with CloudServer() as server:
        yield server


@pytest.fixture
def server(one_server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """The module's server without anything that an earlier test did to it; nobody waits for long."""
    one_server.heal()
    one_server.requests.clear()
    one_server.deployments["prod"].locations.clear()
    one_server.api.registry_is_harbor = False
    monkeypatch.setattr(http, "PAUSE", 0)
    monkeypatch.setattr(graphql, "MAINTENANCE_PATIENCE", 0.05)
    monkeypatch.setattr(updating, "LATE_UPDATE_SECONDS", 0)
    return one_server


@pytest.fixture
def notices() -> list[Notice]:
    return []


@pytest.fixture
def cloud(server: CloudServer, notices: list[Notice]) -> Iterator[DagsterCloudClient]:
    with DagsterCloudClient(read_organization(server.environ(), Login), notices.append) as cloud:
        yield cloud


def check_access(organization: Organization) -> tuple[str, ...]:
    with DagsterCloudClient(organization, lambda _: None) as cloud:
        return cloud.check_access()


def document(name: str = "sales", tag: str = "1", **more: object) -> dict[str, Any]:
    return {
        "location_name": name,
        "code_source": {"package_name": "sales"},
        "git": {"commit_hash": "1a2b3c"},
        "pex_metadata": {"pex_tag": f"files=deps-{tag}.pex:source-{tag}.pex", "python_version": "3.11"},
        **more,
    }


def words(error: CloudError) -> str:
    return f"{error.what}\n{error.detail}\n{error.remedy}"


# Settings


@pytest.mark.parametrize(
    "environ, url",
    [
        ({"DAGSTER_CLOUD_URL": "https://acme.dagster.cloud/"}, URL),
        ({"DAGSTER_CLOUD_URL": " https://ACME.dagster.cloud\n"}, URL),
        ({"DAGSTER_CLOUD_URL": "http://127.0.0.1:3000"}, "http://127.0.0.1:3000"),
        ({"DAGSTER_CLOUD_URL": "http://[::1]:3000/"}, "http://[::1]:3000"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme"}, URL),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme/", "DAGSTER_CLOUD_ORGANIZATION": "acme"}, URL),
        ({"DAGSTER_CLOUD_URL": "https://eu.dagster.cloud/acme"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme"}, URL),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme.eu"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_ENV": "eu"}, "https://acme.eu.dagster.cloud"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_URL": f"{URL}/"}, URL),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme", "DAGSTER_CLOUD_URL": "http://localhost:1"}, "http://localhost:1"),
    ],
)
def test_the_address_is_read(environ: Mapping[str, str], url: str) -> None:
    organization = read_organization({**environ, "DAGSTER_CLOUD_API_TOKEN": f" {TOKEN}\r\n"}, Login)

    assert organization == Organization(url, TOKEN)
    assert TOKEN not in repr(organization)


@pytest.mark.parametrize(
    "environ, said",
    [
        ({}, "neither DAGSTER_CLOUD_URL nor DAGSTER_CLOUD_ORGANIZATION"),
        ({"DAGSTER_CLOUD_URL": "acme.dagster.cloud"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "ftp://acme.dagster.cloud"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "https://"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "https://acme.dagster.cloud:port"}, "https://"),
        ({"DAGSTER_CLOUD_URL": "http://acme.dagster.cloud"}, "unencrypted"),
        ({"DAGSTER_CLOUD_URL": "http://127.0.0.1.example.org"}, "unencrypted"),
        ({"DAGSTER_CLOUD_URL": f"{URL}/prod"}, "`--deployment prod`"),
        ({"DAGSTER_CLOUD_URL": f"{URL}/prod/graphql"}, f"`{URL}`"),
        ({"DAGSTER_CLOUD_URL": f"{URL}?a=b"}, "query"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud"}, "names no organization"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme/prod"}, "`--deployment prod`"),
        ({"DAGSTER_CLOUD_URL": "https://dagster.cloud/acme", "DAGSTER_CLOUD_ORGANIZATION": "other"}, "contradict"),
        ({"DAGSTER_CLOUD_URL": "https://me:pass@acme.dagster.cloud"}, "user name or a password"),
        ({"DAGSTER_CLOUD_URL": URL, "DAGSTER_CLOUD_ORGANIZATION": "other"}, "contradict"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "acme.dagster.cloud"}, "DAGSTER_CLOUD_ORGANIZATION is not the name"),
        ({"DAGSTER_CLOUD_ORGANIZATION": "https://acme"}, "DAGSTER_CLOUD_ORGANIZATION is not the name"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(environ: Mapping[str, str], said: str) -> None:
    with pytest.raises(CloudError) as caught:
        read_organization({**environ, "DAGSTER_CLOUD_API_TOKEN": TOKEN}, Login)

    assert said in words(caught.value)
    assert caught.value.remedy
    assert "pass" not in words(caught.value).replace("password", "")


@pytest.mark.parametrize(
    "token, said",
    [
        (None, "DAGSTER_CLOUD_API_TOKEN is not set"),
        ("", "forks"),
        (" \n", "DAGSTER_CLOUD_API_TOKEN is empty"),
        ("agent:acme:1 2", "a space"),
        ("agent:acme:1\n2", "line break"),
        ("agent:acmé:12", "no token has"),
    ],
)
def test_a_token_that_cannot_be_right_is_refused(token: str | None, said: str) -> None:
    given = {} if token is None else {"DAGSTER_CLOUD_API_TOKEN": token}

    with pytest.raises(CloudError) as caught:
        read_organization({"DAGSTER_CLOUD_URL": URL, **given}, Login)

    assert said in words(caught.value)
    assert "acm" not in words(caught.value)


DG = '[cli.plus]\norganization = "acme"\nuser_token = "user:acme:1"\n'
IN_EUROPE = f'{DG}url = "https://eu.dagster.cloud"\n'
CLI = "organization: acme.eu\nuser_token: user:acme:2\n"


@pytest.mark.parametrize(
    "files, environ, connection",
    [
        ({".config/dg.toml": DG}, {}, (URL, "user:acme:1")),
        ({".dagster_cloud_cli/config": CLI}, {}, ("https://acme.eu.dagster.cloud", "user:acme:2")),
        ({".config/dg.toml": DG}, {"DAGSTER_CLOUD_API_TOKEN": TOKEN}, (URL, TOKEN)),
        ({".config/dg.toml": DG}, {"DAGSTER_CLOUD_ORGANIZATION": "b"}, ("https://b.dagster.cloud", "user:acme:1")),
        ({".config/dg.toml": IN_EUROPE}, {}, ("https://acme.eu.dagster.cloud", "user:acme:1")),
    ],
)
def test_the_login_of_the_machine_is_used_where_the_environment_says_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: Mapping[str, str],
    environ: Mapping[str, str],
    connection: tuple[str, str],
) -> None:
    at_home(tmp_path, files, monkeypatch)

    assert read_organization(environ, read_login) == Organization(*connection)


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "nobody is logged in"),
        ({".config/dg.toml": "[cli"}, "login of this machine cannot be read"),
        ({".config/dg.toml": DG, ".dagster_cloud_cli/config": CLI}, "Please consolidate"),
    ],
)
def test_a_login_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str], said: str
) -> None:
    at_home(tmp_path, files, monkeypatch)

    with pytest.raises(CloudError) as caught:
        read_organization({}, read_login)

    assert said in words(caught.value)


def at_home(home: Path, files: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("DAGSTER_CLOUD_CLI_CONFIG", str(home / ".dagster_cloud_cli" / "config"))


# Requests


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


# URLs of files


def test_urls_are_asked_for_in_the_real_clients_words() -> None:
    assert operations.PEX_URLS_MUTATION % "PUT" == pex_registry.GENERATE_PUT_URL_QUERY
    assert operations.PEX_URLS_MUTATION % "GET" == pex_registry.GENERATE_GET_URL_QUERY


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


# The registry, branch deployments


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


# Updating locations


def test_all_locations_are_updated_in_one_call(cloud: DagsterCloudClient, server: CloudServer) -> None:
    cloud.deploy("prod", [document("sales"), document("stock")], {})

    assert server.operations() == ["deployLocations"]
    assert server.locations() == {"sales": document("sales"), "stock": document("stock")}


def test_what_was_deployed_can_be_read_back(cloud: DagsterCloudClient) -> None:
    cloud.deploy("prod", [document("sales", image="mine:1")], {})

    entry = cloud.entries("prod")["sales"]

    assert (entry.pex_tag, entry.commit_hash, entry.image) == (
        "files=deps-1.pex:source-1.pex",
        "1a2b3c",
        "mine:1",
    )
    assert (entry.outdated, entry.load_status, entry.error) == (True, "LOADING", None)


@pytest.mark.parametrize(
    "fault, said",
    [
        (faults.InvalidLocation(("no such image", "no such queue")), "no such image\nno such queue"),
        (faults.Unauthorized(), "the token may not update `sales`"),
        (faults.PythonError("Exception: it is broken"), "Exception: it is broken"),
        (faults.GraphQLErrors("Internal Server Error"), "Internal Server Error"),
        (faults.Status(403), "not allowed"),
        (faults.Status(503), "HTTP 503"),
        (faults.Reset(), "`sales` was not updated"),
        (faults.NullData(), "`sales` was not updated"),
    ],
)
def test_a_refused_update_says_why_and_leaves_the_location(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault, said: str
) -> None:
    cloud.deploy("prod", [document(tag="1")], {})
    server.inject("deployLocations", fault)

    with pytest.raises(CloudError) as caught:
        cloud.deploy("prod", [document(tag="2")], {})

    assert said in words(caught.value)
    assert "{'" not in words(caught.value)
    assert server.locations()["sales"] == document(tag="1")


def test_an_update_whose_answer_got_lost_is_known_to_have_taken_place(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice]
) -> None:
    server.inject("deployLocations", faults.LostReply())

    cloud.deploy("prod", [document()], {})

    assert ["`sales` was updated" in notice.text for notice in notices] == [True]


def test_an_update_that_was_not_answered_in_time_may_still_come(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.5))
    server.inject("deployLocations", faults.Hang(), times=1)

    with pytest.raises(NotUpdated, match="`sales` was not updated, but it may still be") as caught:
        cloud.deploy("prod", [document()], {})

    assert caught.value.unknown == {"sales"}
    assert server.operations().count("deployLocations") == 1


def test_an_update_that_comes_late_is_seen(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql, "TIMEOUT", (5, 0.5))
    monkeypatch.setattr(updating, "LATE_UPDATE_SECONDS", 60)
    monkeypatch.setattr(updating, "LOOK", 0.001)
    server.inject("deployLocations", faults.Hang(), times=1)
    look = cloud.entries

    def look_too_early(deployment: str, *, retries: int) -> dict[str, Entry]:
        seen = look(deployment, retries=retries)
        server.organization.deploy(server.deployments["prod"], document())
        return seen

    monkeypatch.setattr(cloud, "entries", look_too_early)

    cloud.deploy("prod", [document()], {})

    assert "`sales` was updated" in notices[0].text


def test_an_update_of_which_nothing_can_be_found_out_says_so(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("deployLocations", faults.LostReply())
    server.inject("workspaceOrError", faults.GraphQLErrors())

    with pytest.raises(NotUpdated, match="could not be found out whether `sales` was updated") as caught:
        cloud.deploy("prod", [document()], {})

    assert not caught.value.updated
    assert caught.value.unknown == {"sales"}
    with pytest.raises(NotUpdated, match="could not be found out whether `sales`, `stock` were updated"):
        cloud.deploy("prod", [document("sales"), document("stock")], {})


def test_an_update_of_settings_only_is_not_taken_for_what_was_there(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    cloud.deploy("prod", [document()], {})
    before = cloud.entries("prod")
    # The request is lost on its way, not the answer.
    server.inject("deployLocations", faults.Reset())

    with pytest.raises(NotUpdated, match="`sales` was not updated"):
        cloud.deploy("prod", [document(working_directory="elsewhere")], before)

    server.heal()
    server.inject("deployLocations", faults.LostReply())
    cloud.deploy("prod", [document(working_directory="elsewhere")], before)
    assert server.locations()["sales"]["working_directory"] == "elsewhere"


@pytest.mark.parametrize(
    "fault", [faults.PythonError("Exception: the database is gone"), faults.GraphQLErrors(), faults.NullData()]
)
def test_a_look_at_the_workspace_is_repeated(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault
) -> None:
    cloud.deploy("prod", [document()], {})
    server.inject("workspaceOrError", fault, times=2)

    assert list(cloud.entries("prod")) == ["sales"]

    server.inject("workspaceOrError", fault)
    with pytest.raises(CloudError):
        cloud.entries("prod")


UNKNOWN = faults.GraphQLErrors("Cannot query field 'deployLocations' on type 'Mutation'.")


def test_an_older_server_gets_one_location_after_the_other(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("deployLocations", UNKNOWN)

    cloud.deploy("prod", [document("sales"), document("stock")], {})

    assert server.operations() == ["deployLocations", *["addOrUpdateLocationFromDocument"] * 2]
    assert list(server.locations()) == ["sales", "stock"]


def test_a_failure_among_single_updates_says_what_was_done(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.inject("deployLocations", UNKNOWN)
    server.inject("addOrUpdateLocationFromDocument", faults.InvalidLocation(), name="stock")

    with pytest.raises(NotUpdated, match="`stock` invalid") as caught:
        cloud.deploy("prod", [document("sales"), document("stock"), document("staff")], {})

    assert caught.value.updated == {"sales"}
    assert not caught.value.unknown

    assert "`sales` had been updated before" in caught.value.what
    assert "`staff` was left unchanged" in caught.value.what
    assert list(server.locations()) == ["sales"]


def test_a_server_that_does_not_tell_of_outdated_versions_is_asked_as_the_real_client_asks(
    cloud: DagsterCloudClient, server: CloudServer, notices: list[Notice]
) -> None:
    cloud.deploy("prod", [document()], {})
    message = 'Cannot query field "hasOutdatedData" on type "WorkspaceEntry".'
    server.inject("BuilderLocations", faults.GraphQLErrors(message))

    entry = cloud.entries("prod")["sales"]
    cloud.entries("prod")

    assert (entry.pex_tag, entry.outdated) == ("files=deps-1.pex:source-1.pex", None)
    assert len(notices) == 1


@pytest.mark.parametrize(
    "shown, certain", [({"sales": ["orders"]}, False), ({"sales": []}, True), ({"stock": []}, False)]
)
def test_whether_a_location_defines_nothing(
    cloud: DagsterCloudClient, server: CloudServer, shown: dict[str, list[str]], *, certain: bool
) -> None:
    server.organization.definitions = shown
    assert cloud.defines_nothing("prod", "sales") is certain


def test_a_server_that_does_not_say_what_a_location_defines_is_taken_for_one_that_has_definitions(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.definitions = {"sales": []}
    server.inject("repositoriesOrError", faults.GraphQLErrors("Cannot query field"))
    assert not cloud.defines_nothing("prod", "sales")


# Beside the real client


def test_operations_are_the_real_clients() -> None:
    ours = {name: text for name, text in vars(operations).items() if name.isupper() and isinstance(text, str)}
    without_a_counterpart = {"LOCATIONS_QUERY", "DEFINITIONS_QUERY", "PEX_URLS_MUTATION", "CLIENT_VERSION"}

    assert dagster_cloud_cli.version.__version__ == operations.CLIENT_VERSION
    assert {name: getattr(gql, name) for name in ours.keys() - without_a_counterpart} == {
        name: text for name, text in ours.items() if name not in without_a_counterpart
    }


@pytest.mark.parametrize("deployment", [None, "prod"])
def test_headers_are_the_real_clients(
    cloud: DagsterCloudClient, server: CloudServer, deployment: str | None
) -> None:
    with graphql_client.create_graphql_requests_session() as session:
        config = {"agent_token": server.token, "deployment": deployment}
        path = f"/{deployment}" if deployment else ""
        real = graphql_client.create_agent_graphql_client(session, f"{server.url}{path}/graphql", config)
        real.execute(gql.FULL_DEPLOYMENTS_QUERY)
    cloud.check_access() if deployment is None else cloud.agents(deployment)

    theirs, ours, *_ = server.requests
    transport = {"Accept", "Accept-Encoding", "Connection", "Content-Length", "User-Agent", "Host"}

    def meant(headers: Mapping[str, str]) -> dict[str, str]:
        return {name.title(): value for name, value in headers.items() if name.title() not in transport}

    assert theirs.path == ours.path
    assert meant(ours.headers) == meant(theirs.headers)
