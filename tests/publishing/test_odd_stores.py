"""Stores and ways to them that are not like S3 on a good line."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from builder.errors import NetworkError, PublishError
from builder.publishing.comparison import ReadBack
from builder.publishing.pex_registry import CachedDeps, Method, PexRegistry, Published, UrlSource
from builder.system.http import ATTEMPTS
from builder.system.storage import Artefact
from tests.support.cloud.web import Handler, WebServer
from tests.support.registry import make_pex

SECRET = "Signature=c0ffee"


class Store:
    """Keeps files; `put` and `get` are what it does instead, as long as there are any left."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.put: list[Callable[[_Handler], None]] = []
        self.get: list[Callable[[_Handler], None]] = []
        self.puts = 0
        self.hosts: list[str] = []
        self.fetched: list[int] = []
        self.base = ""

    def urls(self, names: Sequence[str], method: Method) -> list[str]:
        del method
        return [f"{self.base}/{name}?{SECRET}" for name in names]


class _Handler(Handler):
    """A store that knows no ranges."""

    store: Store

    @property
    def name(self) -> str:
        return urllib.parse.urlsplit(self.path).path.strip("/")

    def do_PUT(self) -> None:  # noqa: N802
        self.store.puts += 1
        self.store.hosts.append(self.headers["Host"])
        if self.store.put:
            self.store.put.pop(0)(self)
            return
        self.store.files[self.name] = self.body()
        self.reply(201)

    def do_GET(self) -> None:  # noqa: N802
        content = self.store.files.get(self.name)
        if self.store.get:
            self.store.get.pop(0)(self)
        elif content is None:
            self.reply(404)
        else:
            self.reply(200, content)
            if not self.close_connection:
                self.store.fetched.append(len(content))


@pytest.fixture
def server() -> Iterator[tuple[Store, WebServer]]:
    store = Store()
    with WebServer(type("OneHandler", (_Handler,), {"store": store})) as web:
        store.base = f"http://{web.host}"
        yield store, web


@pytest.fixture
def store(server: tuple[Store, WebServer]) -> Store:
    return server[0]


@pytest.fixture
def pex(tmp_path: Path) -> Artefact:
    return make_pex(tmp_path)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def publish(
    urls: UrlSource,
    pex: Artefact,
    *,
    check: ReadBack = ReadBack.TAIL,
    timeout: float = 600,
) -> Published | PublishError:
    with PexRegistry(urls, check=check, timeout=timeout) as registry:
        return registry.publish([pex], lambda _name, _sent: None)[pex.name]


def sent(store: Store, pex: Artefact, *, check: ReadBack = ReadBack.TAIL) -> bool:
    outcome = publish(store.urls, pex, check=check)
    assert isinstance(outcome, Published), outcome
    assert store.files[pex.name] == pex.path.read_bytes()
    return outcome.sent


def always(url: str) -> UrlSource:
    """Gives this URL for everything."""
    return lambda names, _method: [url for _ in names]


def failure(urls: UrlSource, pex: Artefact, *, timeout: float = 600) -> PublishError:
    outcome = publish(urls, pex, timeout=timeout)
    assert isinstance(outcome, PublishError)
    assert SECRET not in f"{outcome.what} {outcome.detail} {outcome.remedy}"
    return outcome


@pytest.mark.parametrize("check", ReadBack)
def test_without_ranges_everything_works(store: Store, pex: Artefact, check: ReadBack) -> None:
    assert sent(store, pex, check=check)
    assert not sent(store, pex, check=check)
    store.files[pex.name] = pex.path.read_bytes()[:-1] + b"?"
    assert sent(store, pex, check=check)
    assert store.puts == 2
    with PexRegistry(store.urls, check=check) as registry:
        deps = CachedDeps(pex.name, pex.size, "1.13.27", pex.sha256)
        registry.record_deps("0" * 40, "tag", deps)
        assert registry.find_deps("0" * 40, "tag") == (deps, ())
        # It would have to be fetched as a whole.
        assert registry.distributions(pex.name) is None


def test_without_ranges_a_file_is_fetched_once_and_one_of_another_size_not_at_all(
    store: Store, tmp_path: Path
) -> None:
    pex = make_pex(tmp_path, size=20_000_000)
    store.files[pex.name] = b"?" * (pex.size + 1)
    assert sent(store, pex)
    assert store.fetched == [pex.size]


@pytest.mark.parametrize("status", [403, 503])
def test_an_answer_that_comes_before_the_file_was_read_counts(store: Store, tmp_path: Path, status: int) -> None:
    def early(handler: _Handler) -> None:
        handler.reply(status, b"<Error><Code>SlowDown</Code></Error>")
        handler.reset() if status == 503 else handler.connection.shutdown(socket.SHUT_WR)
        handler.close_connection = True

    pex = make_pex(tmp_path, size=20_000_000)
    store.put = [early] * 10
    told = failure(store.urls, pex)
    assert f"`127.0.0.1` answered with HTTP {status} (SlowDown)" in told.what
    store.put = [early]
    assert sent(store, pex)


@pytest.mark.parametrize("code", ["ExpiredToken", "RequestTimeout", "IncompleteBody"])
def test_an_error_code_of_s3_that_another_try_may_help(store: Store, pex: Artefact, code: str) -> None:
    def answer(handler: _Handler) -> None:
        handler.body()
        handler.reply(400, f"<Error><Code>{code}</Code></Error>".encode())

    store.put = [answer]
    assert sent(store, pex)
    assert store.puts == 2


def test_another_bad_request_is_told_at_once(store: Store, pex: Artefact) -> None:
    def answer(handler: _Handler) -> None:
        handler.body()
        handler.reply(400, f"<Error><Code>EntityTooLarge</Code>{handler.path}</Error>".encode())

    store.put = [answer] * 2
    assert "`127.0.0.1` answered with HTTP 400 (EntityTooLarge)" in failure(store.urls, pex).what
    assert store.puts == 1


def test_a_redirected_file_is_sent_again_from_its_beginning(store: Store, tmp_path: Path) -> None:
    def redirect(handler: _Handler) -> None:
        handler.body()
        handler.reply(307, b"", {"Location": f"{store.base}/{pex.name}?elsewhere"})

    pex = make_pex(tmp_path, size=1_000_000)
    store.put = [redirect]
    assert sent(store, pex)
    assert store.puts == 2


@pytest.mark.parametrize("answer", ["bytes */100", "bytes 0-4/x", "pages 1-2/3", "bytes 90-94/100", ""])
def test_an_answer_to_something_else_is_not_believed(store: Store, pex: Artefact, answer: str) -> None:
    def odd(handler: _Handler) -> None:
        handler.reply(206, b"12345", {"Content-Range": answer})

    store.get = [odd] * 100
    told = failure(store.urls, pex)
    assert f"`127.0.0.1` sends an unexpected response; tried {ATTEMPTS} times" in told.what
    assert not store.puts
    store.get = [odd]
    assert sent(store, pex)


def test_a_store_that_answers_by_and_by_costs_no_more_than_the_time_limit(
    server: tuple[Store, WebServer], pex: Artefact
) -> None:
    def drip(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(pex.size))
        handler.end_headers()
        try:
            while not handler.server.closing.wait(0.02):
                handler.wfile.write(b"1")
        except OSError:
            handler.close_connection = True

    store, _ = server
    store.get = [drip] * 100
    assert "not done within the 0.5 seconds that it may take" in failure(store.urls, pex, timeout=0.5).what


def test_two_publishers_of_one_file_at_once_both_succeed(store: Store, pex: Artefact) -> None:
    both_sending = threading.Barrier(2, timeout=30)

    def meet(_name: str, sent: int) -> None:
        if not sent:
            both_sending.wait()

    def run() -> Published | PublishError:
        with PexRegistry(store.urls) as registry:
            return registry.publish([pex], meet)[pex.name]

    with ThreadPoolExecutor(2) as pool:
        outcomes = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    assert [isinstance(each, Published) and each.sent for each in outcomes] == [True, True]
    assert store.files == {pex.name: pex.path.read_bytes()}


@pytest.mark.parametrize("url", ["", "null", "ftp://host/a", "http://[::1/a", "http://", "https://host:port/a"])
def test_what_is_no_url_is_told_without_it(pex: Artefact, url: str) -> None:
    assert "gave for it is not a URL" in failure(always(f"{url}?{SECRET}" if url else ""), pex).what


def test_a_store_that_nobody_serves(pex: Artefact) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = failure(always(f"http://127.0.0.1:{port}/?{SECRET}"), pex)
    assert f"`127.0.0.1` cannot be reached: Connection refused; tried {ATTEMPTS} times" in told.what


def test_a_name_that_cannot_be_resolved(pex: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    told = failure(always(f"http://registry.test/?{SECRET}"), pex)
    assert "the host `registry.test` cannot be found" in told.what


# Proxies and certificates


def test_the_proxy_of_the_environment_is_used(
    server: tuple[Store, WebServer], pex: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, web = server
    monkeypatch.setenv("HTTP_PROXY", f"http://{web.host}")
    store.base = "http://registry.test"
    assert sent(store, pex)
    assert store.hosts == ["registry.test"]


def test_a_proxy_that_does_not_connect_is_told(
    server: tuple[Store, WebServer], pex: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, web = server
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@{web.host}")
    store.base = "https://registry.test"
    told = failure(store.urls, pex).what
    assert "the proxy on the way to `registry.test` does not connect" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    "proxy", ["foo://user:secret@host", "socks5://user:secret@host", "http://user:secret@h:x"]
)
def test_a_proxy_that_is_none_is_told_without_its_password(
    store: Store, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(NetworkError, match="the proxy that the environment names cannot be used") as caught:
        PexRegistry(store.urls)
    assert "secret" not in f"{caught.value.what} {caught.value.remedy}"


def _serve_tls(server: tuple[Store, WebServer], authority: trustme.CA) -> None:
    store, web = server
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    web._server.socket = context.wrap_socket(web._server.socket, server_side=True)  # noqa: SLF001
    store.base = store.base.replace("http://", "https://")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_of_the_environment_are_trusted(
    server: tuple[Store, WebServer],
    pex: Artefact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    authority = trustme.CA()
    _serve_tls(server, authority)
    store, _ = server
    told = failure(store.urls, pex)
    assert "the certificate of `127.0.0.1` is not trusted: " in told.what
    assert "SSL_CERT_FILE" in (told.remedy or "")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    assert sent(store, pex)


def test_certificates_that_cannot_be_read_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(NetworkError, match="the certificates cannot be read"):
        PexRegistry(store.urls)


def test_a_netrc_is_not_for_the_store(
    store: Store, pex: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))

    def stat(handler: _Handler) -> None:
        # S3 refuses a request that is signed and authorized.
        assert "Authorization" not in handler.headers
        store.files[handler.name] = handler.body()
        handler.reply(200)

    store.put = [stat]
    assert sent(store, pex)
