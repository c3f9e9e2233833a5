"""Every part of the builder reaches its host by the same certificates, and tries again by the same rules."""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.organization import Organization
from builder.deployment.pull_request_comment import PullRequestComment
from builder.errors import BuilderError, NetworkError
from builder.oci import connection
from builder.oci.registry import Registry
from builder.publishing.pex_registry import PexRegistry
from builder.resolution.indexes import read_indexes
from builder.resolution.lock import Distribution
from builder.resolution.store import fetch
from builder.system import http, process
from builder.system.http import ATTEMPTS, Deadline, HttpError, retry_after, retrying
from tests.support.cloud.web import Handler, WebServer

WHEEL = b"as if it were a wheel"
VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class _Everything(Handler):
    """Dagster Cloud, a package index, a store of files, a container registry and GitHub."""

    def do_POST(self) -> None:  # noqa: N802
        self.body()
        if self.path.endswith("/graphql"):
            answer: object = {"data": {"fullDeployments": [{"deploymentName": "prod"}]}}
        else:
            answer = {"id": 1}
        self.reply(200, json.dumps(answer).encode())

    def do_GET(self) -> None:  # noqa: N802
        self.reply(200, b"[]" if "/comments" in self.path else WHEEL)

    def do_HEAD(self) -> None:  # noqa: N802
        self.reply(200)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def host(authority: trustme.CA) -> Iterator[str]:
    """A server whose certificate only its own authority vouches for."""
    with WebServer(_Everything) as web:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        web._server.socket = context.wrap_socket(web._server.socket, server_side=True)  # noqa: SLF001
        yield web.host


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*VARIABLES, "SSL_CERT_DIR", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(http, "PAUSE", 0)
    # Loopback registries are spoken to without TLS.
    monkeypatch.setattr(connection, "is_loopback", lambda _: False)


def _cloud(host: str) -> None:
    with DagsterCloudClient(Organization(f"https://{host}", "token"), lambda _: None) as cloud:
        assert cloud.check_access() == ("prod",)


def _store(host: str) -> None:
    with PexRegistry(lambda names, _: [f"https://{host}/{name}" for name in names]) as registry:
        assert registry.sizes(["deps-1.pex"]) == {"deps-1.pex": len(WHEEL)}


def _index(host: str) -> None:
    digest = hashlib.sha256(WHEEL).hexdigest()
    wheel = Distribution(
        name="x",
        version="1",
        kind="wheel",
        location=f"https://{host}/x-1-py3-none-any.whl",
        filename="x-1-py3-none-any.whl",
        digest=digest,
    )
    transport = read_indexes(Path()).transport
    # uv, which resolves, gets the same authorities.
    assert {"SSL_CERT_FILE", "SSL_CERT_DIR"} & transport.variables().keys()
    assert fetch([wheel], transport)["x"].path.read_bytes() == WHEEL


def _containers(host: str) -> None:
    with Registry(host, "acme/x", None) as registry:
        assert registry.has_blob("sha256:1")


def _github(host: str) -> None:
    assert PullRequestComment("a/b", "7", "token", f"https://{host}", key="x").update("ready") is None


CLIENTS = [_cloud, _store, _index, _containers, _github]


@pytest.mark.parametrize("variable", VARIABLES)
def test_one_variable_is_enough_for_every_host(
    host: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))

    for reach in CLIENTS:
        reach(host)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_a_directory_of_authorities_is_one_of_hashes(
    host: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    openssl = shutil.which("openssl")
    assert openssl
    command = [openssl, "x509", "-hash", "-noout", "-in", str(tmp_path / "ca.pem")]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "authorities").mkdir()
    shutil.copy(tmp_path / "ca.pem", tmp_path / "authorities" / f"{name}.0")
    monkeypatch.setenv(variable, str(tmp_path / "authorities"))
    http._context.cache_clear()  # noqa: SLF001  (the system's authorities are read once in a process)

    for reach in (_cloud, _store, _github):
        reach(host)


@pytest.mark.parametrize("reach", CLIENTS)
def test_a_certificate_that_nobody_vouches_for_is_refused(host: str, reach: Callable[[str], None]) -> None:
    http._context.cache_clear()  # noqa: SLF001  (another test may have changed what the system trusts)
    with pytest.raises((BuilderError, AssertionError)) as caught:
        reach(host)

    if isinstance(caught.value, BuilderError):
        assert "is not trusted" in f"{caught.value.what} {caught.value.detail}"


@pytest.mark.parametrize("variable", VARIABLES)
def test_authorities_that_cannot_be_read_are_an_error(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/no/such/file.pem")

    with pytest.raises(NetworkError, match="the certificates cannot be read") as caught:
        _cloud("127.0.0.1:1")

    assert caught.value.detail == "`/no/such/file.pem`"
    assert variable.partition("_CA")[0] in (caught.value.remedy or "") or variable == "CURL_CA_BUNDLE"


# Retries


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause; none takes any time."""
    taken: list[float] = []

    class Stopping:
        def wait(self, timeout: float) -> bool:
            taken.append(timeout)
            return False

        def is_set(self) -> bool:
            return False

    monkeypatch.setattr(process, "stopping", Stopping())
    monkeypatch.setattr(http, "PAUSE", 0.5)
    return taken


def _failing(times: int, error: HttpError) -> Callable[[], int]:
    tried = []

    def send() -> int:
        tried.append(1)
        if len(tried) <= times:
            raise error
        return len(tried)

    return send


def test_pauses_grow_and_never_fall_below_half_of_the_real_clients(waits: list[float]) -> None:
    assert retrying(_failing(ATTEMPTS - 1, HttpError("busy", transient=True))) == ATTEMPTS

    assert len(waits) == ATTEMPTS - 1
    assert all(2**number / 2 <= 2 * wait <= 2**number * 2 for number, wait in enumerate(waits))


def test_what_is_not_transient_is_not_tried_again(waits: list[float]) -> None:
    with pytest.raises(HttpError, match=r"^no$"):
        retrying(_failing(1, HttpError("no")))

    assert waits == []


def test_the_last_error_says_how_often_it_was_tried(waits: list[float]) -> None:
    with pytest.raises(HttpError, match=rf"^busy; tried {ATTEMPTS} times$") as caught:
        retrying(_failing(9, HttpError("busy", status=503, transient=True)))

    assert (caught.value.status, caught.value.transient, len(waits)) == (503, False, ATTEMPTS - 1)


def test_a_server_that_asks_for_more_time_than_there_is_ends_it(waits: list[float]) -> None:
    with pytest.raises(HttpError, match=r"within the 60 seconds.* busy and asks to be left alone for 90 seconds"):
        retrying(_failing(1, HttpError("busy", transient=True, retry_after=90)), deadline=Deadline(60))

    assert waits == []


@pytest.mark.parametrize(
    "value, seconds",
    [("7", 7), (" 7 ", 7), ("", 0), ("soon", 0), ("-1", 0), ("1.5", 0), ("9" * 12, 0), ("٣", 0)],
)
def test_retry_after_is_read(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    assert 90 < retry_after(email.utils.format_datetime(later, usegmt=True)) <= 100
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError, httpx.DecodingError]
)
def test_no_error_quotes_the_address(error: type[httpx.RequestError]) -> None:
    request = httpx.Request("PUT", "https://store.test/deps.pex?X-Amz-Signature=s3cret")

    told = http.network_error(error("https://store.test/?X-Amz-Signature=s3cret", request=request), "store.test")

    assert "s3cret" not in str(told)
    assert "`store.test`" in str(told)


def test_connections_are_kept(
    host: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ports = set()

    def note(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        Handler.setup(handler)

    monkeypatch.setattr(_Everything, "setup", note)
    with DagsterCloudClient(Organization(f"https://{host}", "token"), lambda _: None) as cloud:
        for _ in range(3):
            cloud.check_access()

    assert len(ports) == 1
