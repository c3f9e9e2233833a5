"""pip's configuration apart from its indexes: constraints, certificates, a proxy, and what has no effect."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from pip._internal.configuration import Configuration

from builder.errors import BuilderError, FetchError, Notice
from builder.resolution.pip_configuration import PipConfiguration, read_pip_configuration
from builder.system import storage
from tests.support.commands import make_sdist
from tests.support.index import USER, Index, serving
from tests.support.indexed_project import SECRET, IndexedProject, put


def test_constraints_and_binary_options_of_pip_hold(
    indexed: IndexedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(indexed.root)
    put(indexed.public, "lib", "1.0")
    put(indexed.public, "lib", "2.0")
    put(indexed.public, "other", "1.0")
    make_sdist(indexed.public.directory, {}, name="other", version="2.0")
    (indexed.root / "limits.txt").write_text("lib<2\n")
    indexed.configure(
        PIP_INDEX_URL=indexed.public.url, PIP_CONSTRAINT="limits.txt", PIP_ONLY_BINARY="other,nothing"
    )
    assert indexed.versions("lib\nother\n") == {"lib": "1.0", "other": "1.0"}


def test_what_has_no_equivalent_is_named_once(indexed: IndexedProject) -> None:
    indexed.pip_conf(
        f"index-url = {indexed.public.url}\nprefer-binary = true\ntimeout = 60\n[install]\nno-deps = yes"
    )
    indexed.resolve()
    assert indexed.notices == (
        Notice(
            "pip's configuration sets `no-deps`, `prefer-binary`, which has no effect here; say what you need of"
            " it in the requirements"
        ),
    )


def test_a_pip_conf_that_cannot_be_read_is_named_without_what_is_in_it(indexed: IndexedProject) -> None:
    path = indexed.root / "pip.conf"
    path.write_text(f"\nindex-url = https://{USER}:{SECRET}@example.invalid/simple\n")
    indexed.configure(PIP_CONFIG_FILE=str(path))
    with pytest.raises(BuilderError, match="pip's configuration cannot be read") as caught:
        indexed.resolve()
    assert str(caught.value.where) == f"{path}:2"
    assert SECRET not in str(vars(caught.value))


@pytest.fixture
def own_authority(indexed: IndexedProject) -> trustme.CA:
    """An untrusted certificate authority, with a certificate for the server in `server.pem`."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        indexed.monkeypatch.delenv(name, raising=False)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        str(indexed.root / "server.pem")
    )
    return authority


@pytest.mark.parametrize("how", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_TRUSTED_HOST"])
def test_an_index_with_a_certificate_of_ones_own(
    indexed: IndexedProject, serve: Callable[..., Index], own_authority: trustme.CA, how: str
) -> None:
    certificate = indexed.root / "ca.pem"
    own_authority.cert_pem.write_to_path(str(certificate))
    index = serve(indexed.public.directory, certificate=indexed.root / "server.pem")
    indexed.configure(PIP_INDEX_URL=index.url)
    with pytest.raises(FetchError):
        indexed.resolve()
    indexed.configure(**{how: f"127.0.0.1:{index.port}" if how == "PIP_TRUSTED_HOST" else str(certificate)})
    assert indexed.versions() == {}


def test_certificates_of_pip_and_of_the_system_add_up(
    indexed: IndexedProject, serve: Callable[..., Index], own_authority: trustme.CA
) -> None:
    for name, authority in (("one.pem", trustme.CA()), ("two.pem", own_authority)):
        authority.cert_pem.write_to_path(str(indexed.root / name))
    index = serve(indexed.public.directory, certificate=indexed.root / "server.pem")
    indexed.configure(PIP_INDEX_URL=index.url)
    indexed.configure(SSL_CERT_FILE=str(indexed.root / "one.pem"), PIP_CERT=str(indexed.root / "two.pem"))
    assert indexed.versions() == {}
    # Both lie in one file of the cache.
    (bundle,) = (storage.cache_directory() / "certificates").iterdir()
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-100])
    assert indexed.versions() == {}
    assert bundle.read_bytes() == whole


def test_pips_proxy_is_used_for_everything(indexed: IndexedProject) -> None:
    with serving(indexed.public.directory) as proxy:
        indexed.configure(PIP_INDEX_URL="http://packages.invalid/simple/", PIP_PROXY=f"127.0.0.1:{proxy.port}")
        assert indexed.versions() == {}
    assert sorted(proxy.pages()) == ["dagster", "dagster-cloud"]
    assert len(proxy.downloads()) == 2


@pytest.mark.parametrize("chosen", [None, "chosen.conf", "missing.conf", os.devnull])
def test_the_files_and_variables_are_those_that_pip_itself_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    places = ("xdg-a/pip", "xdg-b/pip", "home/.pip", "home/.config/pip", "prefix")
    files = [*(tmp_path / place / "pip.conf" for place in places), tmp_path / "chosen.conf"]
    for number, path in enumerate(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Each file overrides one option of those before it, and has one of its own.
        own = f"extra_index_url = http://{number}.invalid\n[install]\nno-binary = only{number}\n"
        path.write_text(f"[global]\n--Index-URL = http://{number}.invalid\n{own}[list]\nproxy = ignored\n")
    path.write_text(path.read_text().replace("[global]", "[DEFAULT]\ncert = /ca.pem\n[global]"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_DIRS", os.pathsep.join(str(tmp_path / name) for name in ("xdg-a", "xdg-b")))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("PIP_Find_Links", "/wheels")
    if chosen:
        monkeypatch.setenv("PIP_CONFIG_FILE", chosen if chosen == os.devnull else str(tmp_path / chosen))
    for removed in (None, *files):
        if removed:
            removed.unlink()
        assert read_pip_configuration() == _by_pip()


def _by_pip() -> PipConfiguration:
    """The same by pip's own reader."""
    configuration = Configuration(isolated=False)
    configuration.load()
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for values in dict(configuration.items()).values():
        for key, value in values.items():
            section, _, name = key.partition(".")
            sections.get(section, {})[name] = value
    values = sections["global"] | sections["install"] | sections[":env:"]
    return PipConfiguration(
        index_url=values.get("index-url", ""),
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        options=tuple(f"--no-binary {name}" for name in values.get("no-binary", "").split()),
        certificates=values.get("cert", ""),
        proxy=values.get("proxy", ""),
    )
