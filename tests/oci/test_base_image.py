"""Base images: fetching them for a platform, finding their Python, and comparing it with the target."""

from __future__ import annotations

import gzip
import os
import random
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from builder.cache import entries as cache
from builder.errors import ImageError, TargetError, UsageError
from builder.oci.base_image import BaseImage, fetch_base_image, fit
from builder.oci.layout import DOCKER_INDEX, INDEX, MANIFEST, canonical, digest_of
from builder.oci.reference import Reference, read_reference
from builder.resolution.target import serverless_target
from builder.resolution.transport import Credentials
from builder.system import http
from tests.support.base_images import GLIBC, SLIM, layer, put, put_index
from tests.support.faulty_registry import PASSWORD, USER, Corrupt, FaultyRegistry, serving_faulty_registry

# Compressed, it is longer than what is read at once.
_LARGE = layer({**SLIM, "etc/passwd": bytes(random.Random(0).choices(b"abcdefgh", k=60000))})  # noqa: S311  (no secret)


@pytest.fixture
def registry(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyRegistry]:
    assert not empty_cache.exists()
    monkeypatch.setattr(http, "PAUSE", 0.01)
    with serving_faulty_registry() as served:
        yield served


def fetch(registry: FaultyRegistry, version: str = "3.11-slim", platform: str = "linux/amd64") -> BaseImage:
    reference = Reference(registry.host, "library/python", version)
    return fetch_base_image(reference, platform, credentials=Credentials(USER, PASSWORD))


def test_the_python_is_the_one_that_the_path_finds(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM))
    base = fetch(registry)
    python = fit(base, serverless_target("3.11"))
    assert (python.python, python.version, python.glibc) == ("/usr/local/bin/python3.11", "3.11", "2.36")
    assert python.site_packages == "/usr/local/lib/python3.11/site-packages"
    assert (python.scripts, python.prefix) == ("/usr/local/bin", "/usr/local")
    assert python.passwd.startswith("root:x:0:0")
    assert set(python.distributions["pip"]) == {
        "/usr/local/bin/pip",
        "/usr/local/lib/python3.11/site-packages/pip/__init__.py",
        "/usr/local/lib/python3.11/site-packages/pip-24.0.dist-info/RECORD",
    }


def test_later_layers_replace_and_remove(registry: FaultyRegistry) -> None:
    second: dict[str, bytes | str] = {
        "usr/local/bin/.wh.python3": b"",
        "opt/venv/bin/python": "/usr/local/bin/python3.11",
        "opt/venv/pyvenv.cfg": b"home = /usr/local/bin\n",
        "usr/local/lib/python3.11/site-packages/.wh..wh..opq": b"",
    }
    config = {"Env": ["PATH=/opt/venv/bin:/usr/local/bin"]}
    put(registry, layer(SLIM), layer(second), config=config)
    python = fetch(registry).python
    assert python is not None
    assert (python.python, python.prefix) == ("/opt/venv/bin/python", "/opt/venv")
    assert python.site_packages == "/opt/venv/lib/python3.11/site-packages"
    assert python.distributions == {}


@pytest.mark.parametrize("packages", ["usr/lib/python3/dist-packages/x.py", "usr/lib/python3/dist-packages/"])
def test_debian_installs_below_usr_local(registry: FaultyRegistry, packages: str) -> None:
    files: dict[str, bytes | str] = {
        "usr/bin/python3.11": b"\x7fELF",
        "usr/bin/python3": "python3.11",
        packages: b"",
        "lib/x86_64-linux-gnu/libc.so.6": GLIBC,
    }
    put(registry, layer(files))
    python = fetch(registry).python
    assert python is not None
    assert python.site_packages == "/usr/local/lib/python3.11/dist-packages"
    assert python.scripts == "/usr/local/bin"


def test_an_image_is_fetched_once_and_by_digest_without_asking(registry: FaultyRegistry) -> None:
    digest = put(registry, layer(SLIM))
    first = fetch(registry)
    assert first.digest == digest
    before = len(registry.requests)
    second = fetch(registry)
    asked = registry.requests[before:]
    assert {path for _, path in asked} == {"/v2/library/python/manifests/3.11-slim"}
    assert second == first
    before = len(registry.requests)
    assert fetch(registry, digest).python == first.python
    assert registry.requests[before:] == []


def test_what_a_base_image_left_in_the_cache_is_removed_when_it_is_not_used_any_more(
    registry: FaultyRegistry, empty_cache: Path
) -> None:
    put(registry, layer(SLIM))
    fetch(registry)
    entries = [path for path in (empty_cache / "base-images").rglob("*") if path.is_file()]
    assert len(entries) == 4
    long_ago = time.time() - 20 * 86400
    for path in entries:
        os.utime(path, (long_ago, long_ago))
    fetch(registry)
    # Everything was used again, except a file that is never read.
    assert {path.name for path in entries if path.stat().st_mtime == long_ago} <= {"index.json"}
    for path in entries:
        os.utime(path, (long_ago - 20 * 86400, long_ago - 20 * 86400))
    cache.prune()
    assert not [path for path in (empty_cache / "base-images").rglob("*") if path.is_file()]


def test_what_is_damaged_in_the_cache_is_fetched_again(registry: FaultyRegistry, empty_cache: Path) -> None:
    digest = put(registry, layer(SLIM))
    first = fetch(registry)
    (_, path) = first.layers[0]
    for kept in empty_cache.glob("base-images/*/*"):
        kept.write_bytes(b"{}")
    assert fetch(registry, digest).config == first.config
    assert fetch(registry).python == first.python
    assert path.read_bytes() == layer(SLIM)


@pytest.mark.parametrize("old, new", [("3.11", "3.10"), ("2.36", "2.37"), ("/usr/local/bin", "/usr/local/bim")])
def test_what_is_known_of_a_base_image_is_not_believed_once_damaged(
    registry: FaultyRegistry, empty_cache: Path, old: str, new: str
) -> None:
    put(registry, layer(SLIM))
    python = fetch(registry).python
    (description,) = empty_cache.glob("base-images/python/*.json")
    content = description.read_text()
    assert old in content
    description.write_text(content.replace(old, new, 1))
    assert fetch(registry).python == python
    assert description.read_text() == content


@pytest.mark.parametrize("media_type", [INDEX, DOCKER_INDEX])
def test_of_an_index_the_platform_is_taken(registry: FaultyRegistry, media_type: str) -> None:
    other = put(registry, layer({**SLIM, "etc/passwd": b"arm"}), architecture="arm64", tag="arm")
    own = put(registry, layer(SLIM), tag="amd")
    digests = {"linux/arm64": other, "unknown/unknown": digest_of(b""), "linux/amd64": own}
    put_index(registry, digests, media_type=media_type)
    assert fetch(registry).digest == own
    assert fetch(registry, platform="linux/arm64").digest == other


def test_an_index_without_the_platform_is_told_with_what_it_has(registry: FaultyRegistry) -> None:
    other = put(registry, layer(SLIM), architecture="arm64", tag="arm")
    put_index(registry, {"linux/arm64": other, "windows/amd64": digest_of(b""), "unknown/unknown": digest_of(b"")})
    with pytest.raises(ImageError, match="is not there for linux/amd64") as caught:
        fetch(registry)
    assert caught.value.detail == "it is for linux/arm64, windows/amd64"


def test_an_index_of_nothing_but_attestations_is_told(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM))
    put_index(registry, {"unknown/unknown": digest_of(b"")})
    with pytest.raises(ImageError, match="is not there for linux/amd64") as caught:
        fetch(registry)
    assert caught.value.detail is None


def test_an_image_of_another_architecture_is_told(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM), architecture="arm64")
    with pytest.raises(ImageError, match="is for linux/arm64, not for linux/amd64"):
        fetch(registry)


def test_a_name_that_means_nothing_is_told(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM))
    with pytest.raises(ImageError, match="there is no image"):
        fetch(registry, "3.99-slim")


@pytest.mark.parametrize(
    "content",
    [
        b"not a layer",
        layer(SLIM)[:-40],
        layer(SLIM)[:60],
        gzip.compress(b"x" * 2000, mtime=0),
        _LARGE[:9000] + b"\xff" * 40 + _LARGE[9040:],
        gzip.compress(layer(SLIM, compressed=False)[:1000], mtime=0) + b"no member",
    ],
    ids=[
        "no gzip",
        "cut at the end",
        "cut at the start",
        "no tar",
        "damaged in a file",
        "no gzip after the first member",
    ],
)
def test_a_layer_that_cannot_be_read_is_told(registry: FaultyRegistry, content: bytes) -> None:
    put(registry, layer({"x": b""}), content)
    with pytest.raises(ImageError, match=r"a layer of .* cannot be read"):
        fetch(registry)


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_a_layer_of_a_type_that_is_not_read_is_told_before_it_is_fetched(
    registry: FaultyRegistry, media_type: str
) -> None:
    put(registry, layer(SLIM), media_type=media_type)
    with pytest.raises(ImageError, match=re.escape(f"a layer of the type `{media_type}`")):
        fetch(registry)
    assert registry.count("GET", f"/blobs/{digest_of(layer(SLIM))}") == 0


_BLOB = {"mediaType": "x", "digest": digest_of(b""), "size": 0}


@pytest.mark.parametrize(
    "manifest",
    [
        b"<html>",
        b"\xff",
        b"[]",
        b'{"schemaVersion": 1, "fsLayers": []}',
        canonical({"config": _BLOB}),
        canonical({"config": _BLOB, "layers": None}),
        canonical({"config": _BLOB, "layers": [{"digest": digest_of(b"")}]}),
        canonical({"config": _BLOB, "layers": [{**_BLOB, "digest": "sha256:../../escaped/x"}]}),
        canonical({"config": _BLOB, "layers": [{**_BLOB, "digest": f"sha512:{'0' * 128}"}]}),
        canonical({"config": "x", "layers": []}),
        canonical({"manifests": None}),
        canonical({"manifests": ["x"]}),
        canonical({"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}}]}),
    ],
    ids=str,
)
def test_a_manifest_that_is_none_is_told(registry: FaultyRegistry, empty_cache: Path, manifest: bytes) -> None:
    put(registry, layer(SLIM))
    registry.manifests["library/python"]["3.11-slim"] = (manifest, INDEX)
    with pytest.raises(ImageError, match=r"the base image .* is not valid"):
        fetch(registry)
    assert not (empty_cache / "escaped").exists()


@pytest.mark.parametrize("config", [b"", b"[]", b"\x00"])
def test_a_config_that_is_none_is_told(registry: FaultyRegistry, config: bytes) -> None:
    registry.blobs["library/python"] = {digest_of(config): config}
    manifest = canonical({"config": {**_BLOB, "digest": digest_of(config)}, "layers": []})
    registry.manifests["library/python"] = {"3.11-slim": (manifest, MANIFEST)}
    with pytest.raises(ImageError, match=r"the base image .* is not valid"):
        fetch(registry)


def test_a_layer_of_several_gzip_members_is_read_to_its_end(registry: FaultyRegistry) -> None:
    content = layer(SLIM, compressed=False)
    members = [gzip.compress(content[start : start + 1000], mtime=0) for start in range(0, len(content), 1000)]
    put(registry, b"".join(members))
    python = fetch(registry).python
    assert python is not None
    assert python.glibc == "2.36"


def test_a_layer_without_compression_is_read(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM, compressed=False), media_type="application/vnd.oci.image.layer.v1.tar")
    assert fetch(registry).python is not None


def test_a_manifest_that_is_not_what_its_digest_says_is_told(registry: FaultyRegistry) -> None:
    digest = put(registry, layer(SLIM))
    registry.inject("GET", "/manifests/", Corrupt())
    with pytest.raises(ImageError, match=f"for `{digest}`"):
        fetch(registry, digest)


def test_another_python_is_an_error_with_both_versions(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM))
    with pytest.raises(TargetError, match=r"has Python 3\.11, not 3\.12") as caught:
        fit(fetch(registry), serverless_target("3.12"))
    assert "--python-version 3.11" in (caught.value.remedy or "")


def test_a_base_without_python_is_an_error(registry: FaultyRegistry) -> None:
    put(registry, layer({"bin/sh": b""}))
    with pytest.raises(TargetError, match="has no Python on its PATH"):
        fit(fetch(registry), serverless_target("3.11"))


@pytest.mark.parametrize(
    "libc, what",
    [
        ({"usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC.replace(b"2.36", b"2.31")}, r"glibc 2\.31; .* glibc 2\.36"),
        ({"usr/lib/x86_64-linux-gnu/libc.so.6": b"musl", "lib/ld-musl-x86_64.so.1": b""}, "another C library"),
    ],
)
def test_an_older_or_another_c_library_is_an_error(
    registry: FaultyRegistry, libc: Mapping[str, bytes], what: str
) -> None:
    put(registry, layer({**SLIM, **libc}))
    with pytest.raises(TargetError, match=what):
        fit(fetch(registry), serverless_target("3.11"))


def test_an_image_for_another_machine_than_the_target_is_an_error(registry: FaultyRegistry) -> None:
    put(registry, layer(SLIM), architecture="arm64")
    with pytest.raises(TargetError, match=r"is for linux/arm64, not for Python 3\.11 on linux x86_64"):
        fit(fetch(registry, platform="linux/arm64"), serverless_target("3.11"))


def test_links_that_lead_round_in_a_circle_lead_nowhere(registry: FaultyRegistry) -> None:
    put(registry, layer({"usr/bin/python3": "python", "usr/bin/python": "python3"}))
    assert fetch(registry).python is None


@pytest.mark.parametrize(
    "text, expected",
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("acme/base", "docker.io/acme/base:latest"),
        ("GHCR.io/acme/base:1.0", "ghcr.io/acme/base:1.0"),
        ("localhost:5000/base", "localhost:5000/base:latest"),
        (f"ghcr.io/acme/base:1@{digest_of(b'')}", f"ghcr.io/acme/base@{digest_of(b'')}"),
    ],
)
def test_names_of_images_are_read_as_docker_reads_them(text: str, expected: str) -> None:
    assert str(read_reference(text)) == expected


@pytest.mark.parametrize("text", ["", "ghcr.io/", "ghcr.io/Acme/x", "python:", "x@sha256:12", "a b", "python:-x"])
def test_what_is_no_name_of_an_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not the name of an image"):
        read_reference(text)
