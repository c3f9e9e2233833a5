"""Pushing to and pulling from registries with known failures: lost uploads, damaged blobs, refused logins."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from builder.errors import BuilderError, ImageError, PublishError
from builder.oci import blob_upload
from builder.oci.layout import OCI, Descriptor, Layout, digest_of, read_layout, writing
from builder.oci.pushing import push_layout
from builder.oci.registry import Registry
from builder.resolution.transport import Credentials
from builder.system import http, process
from tests.support.faulty_registry import (
    PASSWORD,
    USER,
    Corrupt,
    Cut,
    FaultyRegistry,
    Forget,
    Status,
    serving_faulty_registry,
)

LAYER = b"".join(n.to_bytes(4, "big") for n in range(25_000))
"""A hundred kilobytes."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyRegistry]:
    monkeypatch.setattr(http, "PAUSE", 0.01)
    monkeypatch.setattr(blob_upload, "CHUNK", 30_000)
    with serving_faulty_registry() as served:
        yield served


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The layout of an image with one layer."""
    path = tmp_path / "image"
    with writing(path) as made:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI.manifest,
            "config": made.add(b"{}", OCI.config).document(),
            "layers": [made.add(LAYER, OCI.layer).document()],
        }
        made.finish("etl", made.add_document(document, platform="linux/amd64"), ["1.0"], [])
    return read_layout(path)


def push(registry: FaultyRegistry, layout: Layout, repository: str = "acme/etl", **options: object) -> None:
    sources = {digest_of(LAYER): "acme/other"} if options.pop("mounting", False) else {}
    credentials = Credentials(USER, str(options.pop("password", PASSWORD)))
    with Registry(
        registry.host, repository, credentials, sources=tuple(sources.values()), timeout=10
    ) as connected:
        push_layout(connected, layout, ["1.0"], sources=sources)


def assert_pushed(registry: FaultyRegistry, layout: Layout, repository: str = "acme/etl") -> None:
    content, _ = registry.manifests[repository]["1.0"]
    assert content == layout.read(layout.image.digest)
    assert registry.blobs[repository] == {digest_of(LAYER): LAYER, digest_of(b"{}"): b"{}"}
    assert not registry.uploads


def assert_no_tag(registry: FaultyRegistry) -> None:
    assert not registry.tags("acme/etl")


def test_everything_is_pushed_and_nothing_twice(registry: FaultyRegistry, layout: Layout) -> None:
    push(registry, layout)
    assert_pushed(registry, layout)
    sent = registry.received
    push(registry, layout)
    assert registry.received - sent < 2000
    # One login per connection, shared by its threads.
    assert registry.logins == [["repository:acme/etl:pull,push"]] * 2


def test_a_large_blob_goes_in_pieces(registry: FaultyRegistry, layout: Layout) -> None:
    push(registry, layout)
    assert registry.count("PATCH", "/blobs/uploads/") == 4


@pytest.mark.parametrize("arrived", [0, 1, 29_999])
def test_an_upload_that_is_cut_off_goes_on_where_it_was(
    registry: FaultyRegistry, layout: Layout, arrived: int
) -> None:
    registry.inject("PATCH", "/blobs/uploads/", Cut(arrived), times=1, after=1)
    push(registry, layout)
    assert_pushed(registry, layout)
    # At most the whole blob, and the lost part of one chunk.
    assert registry.received < len(LAYER) + 30_000 + 3000


def test_an_upload_that_the_registry_has_lost_begins_anew(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("PATCH", "/blobs/uploads/", Status(404, "BLOB_UPLOAD_UNKNOWN"), times=1, after=2)
    push(registry, layout)
    assert digest_of(LAYER) in registry.blobs["acme/etl"]


def test_a_blob_that_arrives_damaged_is_sent_again(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("PUT", digest_of(LAYER).replace(":", "%3A"), Corrupt(), times=1)
    push(registry, layout)
    assert_pushed(registry, layout)


def test_a_blob_that_always_arrives_damaged_is_an_error(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("PUT", "/blobs/uploads/", Corrupt())
    with pytest.raises(PublishError, match="could not be pushed") as caught:
        push(registry, layout)
    assert "DIGEST_INVALID" in (caught.value.detail or "")
    assert_no_tag(registry)


def test_a_registry_that_is_busy_is_asked_again_when_it_says(
    registry: FaultyRegistry, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    monkeypatch.setattr(process.stopping, "wait", wait)
    registry.inject("PUT", "/manifests/", Status(429, "TOOMANYREQUESTS", retry_after="7"), times=1)
    push(registry, layout)
    assert_pushed(registry, layout)
    assert 7 in pauses


def test_a_registry_that_stays_busy_beyond_the_deadline_is_told(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("PUT", "/manifests/", Status(429, "TOOMANYREQUESTS", retry_after="3600"))
    with pytest.raises(PublishError) as caught:
        push(registry, layout)
    assert "3600" in (caught.value.detail or "")
    assert_no_tag(registry)


def test_a_token_that_expires_in_between_is_asked_for_again(registry: FaultyRegistry, layout: Layout) -> None:
    # Enough for the blobs that are sent at once: one that waits must not find the new token used up by the others.
    registry.token_uses = 5
    push(registry, layout)
    assert_pushed(registry, layout)
    assert len(registry.logins) > 1


def test_a_login_that_is_refused_is_told_without_the_password(registry: FaultyRegistry, layout: Layout) -> None:
    with pytest.raises(PublishError, match="refuses to let `pusher` push to `acme/etl`") as caught:
        push(registry, layout, password="wrong-password")
    assert "wrong-password" not in f"{caught.value} {caught.value.detail} {caught.value.remedy}"
    assert not registry.blobs


def test_who_may_not_push_there_is_told(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("POST", "/blobs/uploads/", Status(403, "DENIED"))
    with pytest.raises(PublishError, match="refuses to let `pusher`") as caught:
        push(registry, layout)
    assert "DENIED" in (caught.value.detail or "")
    assert_no_tag(registry)


def test_a_registry_that_is_read_only_is_told(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("POST", "/blobs/uploads/", Status(405, "UNSUPPORTED"))
    with pytest.raises(PublishError) as caught:
        push(registry, layout)
    assert "read-only" in (caught.value.remedy or "")
    assert_no_tag(registry)


def test_a_manifest_that_is_refused_is_told_in_the_words_of_the_registry(
    registry: FaultyRegistry, layout: Layout
) -> None:
    registry.inject("PUT", "/manifests/", Status(400, "MANIFEST_INVALID"))
    with pytest.raises(PublishError, match="refuses the manifest") as caught:
        push(registry, layout)
    assert caught.value.detail == "MANIFEST_INVALID: it says so"
    assert_no_tag(registry)


def test_a_blob_is_taken_over_from_another_repository(registry: FaultyRegistry, layout: Layout) -> None:
    registry.blobs["acme/other"] = {digest_of(LAYER): LAYER}
    push(registry, layout, mounting=True)
    assert_pushed(registry, layout)
    assert registry.received < 2000
    assert registry.logins == [["repository:acme/etl:pull,push", "repository:acme/other:pull"]]


def test_where_nothing_can_be_taken_over_it_is_sent(registry: FaultyRegistry, layout: Layout) -> None:
    registry.mounts = False
    registry.blobs["acme/other"] = {digest_of(LAYER): LAYER}
    push(registry, layout, mounting=True)
    assert_pushed(registry, layout)


def test_a_blob_that_was_taken_over_and_forgotten_is_sent(registry: FaultyRegistry, layout: Layout) -> None:
    registry.blobs["acme/other"] = {digest_of(LAYER): LAYER}
    registry.inject("POST", "mount=", Forget())
    push(registry, layout, mounting=True)
    assert_pushed(registry, layout)


def test_a_registry_that_forgets_every_blob_gets_no_tag(registry: FaultyRegistry, layout: Layout) -> None:
    registry.inject("PUT", "/blobs/uploads/", Forget())
    with pytest.raises(PublishError, match="lacks blobs that it reported as present"):
        push(registry, layout)
    assert_no_tag(registry)


@pytest.mark.parametrize("fault", [Forget(), Corrupt()])
def test_a_manifest_that_cannot_be_read_back_gets_no_tag(
    registry: FaultyRegistry, layout: Layout, fault: Forget | Corrupt
) -> None:
    registry.inject("PUT" if isinstance(fault, Forget) else "GET", "/manifests/", fault)
    with pytest.raises(PublishError, match="which was pushed as"):
        push(registry, layout)
    assert_no_tag(registry)


def test_a_layout_that_was_damaged_meanwhile_is_not_pushed(registry: FaultyRegistry, layout: Layout) -> None:
    path = layout.path / "blobs" / "sha256" / digest_of(LAYER).removeprefix("sha256:")
    path.write_bytes(LAYER[:-1])
    with pytest.raises(ImageError, match="has other bytes than its name says"):
        push(registry, layout)
    assert_no_tag(registry)


def test_a_registry_that_does_not_answer_is_told(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE", 0.01)
    with serving_faulty_registry() as gone:
        pass
    with pytest.raises(PublishError, match="nothing could be pushed to") as caught:
        push(gone, layout)
    assert "cannot be reached" in (caught.value.detail or "")


def test_a_certificate_that_nobody_vouches_for_is_told_with_what_to_set(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _certificate(tmp_path)
    # Loopback hosts are contacted without TLS, so the server must not count as loopback.
    monkeypatch.setattr("builder.oci.connection.is_loopback", lambda _host: False)
    with serving_faulty_registry(files) as secure:
        with pytest.raises(PublishError) as caught:
            push(secure, layout)
        assert "certificate" in (caught.value.detail or "")
        assert "SSL_CERT_FILE" in (caught.value.remedy or "")


def test_a_password_does_not_leave_tls(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _certificate(tmp_path)
    monkeypatch.setattr("builder.oci.connection.is_loopback", lambda _host: False)
    monkeypatch.setenv("SSL_CERT_FILE", files[0])
    # The registry names a token server at an http: URL.
    with serving_faulty_registry(files) as secure, pytest.raises(PublishError, match="without TLS"):
        push(secure, layout)


@pytest.mark.parametrize("fault", [Corrupt(), Status(503)])
def test_a_blob_is_fetched_whole_or_not_at_all(
    registry: FaultyRegistry, tmp_path: Path, fault: Corrupt | Status
) -> None:
    digest = digest_of(LAYER)
    registry.blobs["acme/base"] = {digest: LAYER}
    blob = Descriptor(media_type=OCI.layer, digest=digest, size=len(LAYER))
    with Registry(registry.host, "acme/base", Credentials(USER, PASSWORD), push=False, timeout=10) as connected:
        registry.inject("GET", "/blobs/", fault, times=1)
        connected.pull_blob(blob, tmp_path / "blob")
        assert (tmp_path / "blob").read_bytes() == LAYER
        registry.inject("GET", "/blobs/", fault)
        with pytest.raises(PublishError, match="could not be fetched"):
            connected.pull_blob(blob, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]
    assert registry.logins[0] == ["repository:acme/base:pull"]


def test_a_token_server_that_answers_nonsense_is_an_error_of_ours(
    registry: FaultyRegistry, layout: Layout
) -> None:
    registry.inject("GET", "/token", Status(200, json.dumps({})))
    with pytest.raises(BuilderError, match="nothing could be pushed"):
        push(registry, layout)


def _certificate(directory: Path) -> tuple[str, str]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(directory / "certificate.pem"), str(directory / "key.pem")
