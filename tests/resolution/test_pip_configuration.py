"""pip's configuration apart from its indexes: constraints, certificates, a proxy, and what has no effect."""

from __future__ import annotations

import pytest
import trustme

from builder.errors import BuilderError, FetchError, Notice
from builder.system import storage
from tests.support.commands import make_sdist
from tests.support.index import serving
from tests.support.indexed_project import SECRET, IndexedProject, put
from tests.support.pypi import USER, PypiHost


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
        Notice("pip's configuration sets `no-deps`, `prefer-binary`, which has no effect on what is built here"),
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
    indexed: IndexedProject, host: PypiHost, own_authority: trustme.CA, how: str
) -> None:
    certificate = indexed.root / "ca.pem"
    own_authority.cert_pem.write_to_path(str(certificate))
    index = host.serve(indexed.public.directory, certificate=indexed.root / "server.pem")
    indexed.configure(PIP_INDEX_URL=index.url)
    with pytest.raises(FetchError):
        indexed.resolve()
    indexed.configure(**{how: f"127.0.0.1:{index.port}" if how == "PIP_TRUSTED_HOST" else str(certificate)})
    assert indexed.versions() == {}


def test_certificates_of_pip_and_of_the_system_add_up(
    indexed: IndexedProject, host: PypiHost, own_authority: trustme.CA
) -> None:
    for name, authority in (("one.pem", trustme.CA()), ("two.pem", own_authority)):
        authority.cert_pem.write_to_path(str(indexed.root / name))
    index = host.serve(indexed.public.directory, certificate=indexed.root / "server.pem")
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
