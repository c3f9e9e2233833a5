"""builder.selftest --online tells whether the builder.pex that is published is another."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from builder.building import latest
from builder.errors import ToolError
from builder.system import http
from tests.support.cloud.web import Handler, WebServer
from tests.support.commands import Workshop

HERE = b"this builder.pex"


class _Site(Handler):
    plain = ""
    """The host of a server without TLS."""

    def do_GET(self) -> None:  # noqa: N802
        name = self.path.strip("/").partition("/")[0]
        if name == "moved":
            self.reply(302, headers={"Location": f"http://{self.plain}/same/builder.pex.json"})
        elif name in {"same", "newer"}:
            digest = hashlib.sha256(HERE if name == "same" else b"another").hexdigest()
            self.reply(200, json.dumps({"sha256": digest, "version": "7.8.9"}).encode())
        elif name == "page":
            self.reply(200, b"<html>Please sign in</html>")
        else:
            self.reply(404)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with TLS whose authority is trusted; this builder.pex has the bytes `HERE`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    (tmp_path / "builder.pex").write_bytes(HERE)
    monkeypatch.setenv("BUILDER_PEX", str(tmp_path / "builder.pex"))
    monkeypatch.setattr(http, "PAUSE", 0)
    with WebServer(_Site) as web:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        web._server.socket = context.wrap_socket(web._server.socket, server_side=True)  # noqa: SLF001
        yield f"https://{web.host}"


def test_the_same_is_the_latest(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDER_URL", f"{site}/same/builder.pex")
    assert latest.latest() == "it is the one that is published, version 7.8.9"


@pytest.mark.parametrize(
    "path, what",
    [
        ("newer", "version 7.8.9 with sha256 "),
        ("page", "is no builder.pex.json"),
        ("nothing", "answered with HTTP 404"),
    ],
)
def test_another_or_none(site: str, monkeypatch: pytest.MonkeyPatch, path: str, what: str) -> None:
    monkeypatch.setenv("BUILDER_URL", f"{site}/{path}/builder.pex")
    with pytest.raises(ToolError) as caught:
        latest.latest()
    assert what in caught.value.what
    assert "BUILDER_URL" in (caught.value.remedy or "")


def test_nothing_is_asked_without_tls(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDER_URL", f"{site.replace('https', 'http')}/same/builder.pex")
    with pytest.raises(ToolError, match="does not begin with `https://`"):
        latest.latest()
    monkeypatch.setenv("BUILDER_URL", f"{site}/moved/builder.pex")
    with WebServer(_Site) as plain:
        monkeypatch.setattr(_Site, "plain", plain.host)
        with pytest.raises(ToolError, match="without TLS"):
            latest.latest()
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("BUILDER_URL", f"{site}/same/builder.pex")
    with pytest.raises(ToolError, match="not trusted"):
        latest.latest()


def test_only_when_asked(place: Workshop) -> None:
    ran = place.run("selftest", "--online", "--json")
    found = {each["name"]: each for each in json.loads(ran.stdout)}
    # A checkout has no hash to compare.
    assert "git pull" in found["latest"]["remedy"]
    assert ran.code == 1
    assert "exclude each other" in place.run("selftest", "--online", "--offline").failed(2)
