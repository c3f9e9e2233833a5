"""Base images of a few files, as far as the builder looks into them."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from builder.oci.layout import INDEX, OCI, canonical, digest_of
from tests.support.cloud import CloudServer
from tests.support.faulty_registry import PASSWORD, USER, FaultyRegistry

GLIBC = b"\x7fELF GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"
SLIM: Mapping[str, bytes | str] = {
    "usr/local/bin/python3.11": b"\x7fELF",
    "usr/local/bin/python3": "python3.11",
    "usr/local/bin/python": "python3",
    "lib": "usr/lib",
    "usr/lib/x86_64-linux-gnu/libc.so.6": GLIBC,
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "usr/local/lib/python3.11/site-packages/pip/__init__.py": b"",
    "usr/local/lib/python3.11/site-packages/pip-24.0.dist-info/RECORD": b"pip/__init__.py,,\n../../../bin/pip,,\n",
    "usr/local/bin/pip": b"#!\n",
}
"""What python:3.11-slim has: files, and symbolic links as texts."""


def runs_only_images(cloud: CloudServer, registry: FaultyRegistry, directory: Path) -> dict[str, str]:
    """Move a Dagster Cloud to the platform that takes no PEX files, with this registry and a base image in it.

    :param directory: gets what `docker login` writes.

    Returns environment variables for a deploy.
    """
    put(registry, layer(SLIM))
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    cloud.api.registry_is_harbor = True
    cloud.api.registry_url = f"{registry.host}/acme/prefix"
    cloud.api.registry_token = login
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
    return {
        "DOCKER_CONFIG": str(directory),
        "SERVERLESS_BASE_IMAGE": f"{registry.host}/library/python:3.11-slim",
    }


def layer(files: Mapping[str, bytes | str], *, compressed: bool = True) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0) if compressed else stream.getvalue()


def put(
    registry: FaultyRegistry,
    *layers: bytes,
    tag: str = "3.11-slim",
    architecture: str = "amd64",
    media_type: str = OCI.layer,
    config: Mapping[str, object] | None = None,
) -> str:
    """Put an image into the repository `library/python`; returns its digest."""
    blobs = registry.blobs.setdefault("library/python", {})
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": config or {"Env": ["PATH=/usr/local/bin:/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
    }
    content = canonical(document)
    entries = []
    for each in (content, *layers):
        blobs[digest_of(each)] = each
        entries.append({"mediaType": media_type, "digest": digest_of(each), "size": len(each)})
    manifest = canonical(
        {"schemaVersion": 2, "mediaType": OCI.manifest, "config": entries[0], "layers": entries[1:]}
    )
    known = registry.manifests.setdefault("library/python", {})
    known[tag] = known[digest_of(manifest)] = (manifest, OCI.manifest)
    return digest_of(manifest)


def put_index(registry: FaultyRegistry, digests: Mapping[str, str], *, media_type: str = INDEX) -> None:
    """Have the tag name an index of images of several platforms, by platform."""
    entries = [
        {
            "mediaType": OCI.manifest,
            "digest": digest,
            "size": 1,
            "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True)),
        }
        for platform, digest in digests.items()
    ]
    content = canonical({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    registry.manifests["library/python"]["3.11-slim"] = (content, media_type)
