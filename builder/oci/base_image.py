"""Fetching base images from a registry by digest, caching them, and inspecting their Python.

The cache has, in the directory `base-images`:

    sha256/…    manifests, configs and layers
    python/…    the results of inspecting images, by manifest
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from builder.errors import ImageError, TargetError
from builder.oci.credentials import stored_credentials
from builder.oci.filesystem import Filesystem
from builder.oci.layout import INVALID, Descriptor, Document, digest_of, read_descriptor
from builder.oci.python import DEFAULT_PATH, ImagePython, find_python, wanted
from builder.oci.reference import Reference
from builder.oci.registry import Registry
from builder.resolution.target import IMAGE_PLATFORMS, Target
from builder.resolution.transport import Credentials
from builder.system import storage

MACHINES: Final[Mapping[str, str]] = {name.partition("/")[2]: machine for name, machine in IMAGE_PLATFORMS.items()}
"""Python's names for the architectures of images."""

_LOOK_VERSION: Final = "2"
"""Version of cached inspection results; increase it when their content changes."""

_AT_ONCE: Final = 4

ProgressCallback = Callable[[str, int], None]
"""Called repeatedly with the digest of a blob and the number of bytes received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A base image for one platform, with its layers on this machine.

    :param reference: the name as given by the user.
    :param digest: of the platform's manifest.
    :param config: image-spec 1.1, "OCI Image Configuration".
    :param layers: those of the manifest, each with its file.
    :param python: None if it has none.
    """

    reference: Reference
    digest: str
    platform: str
    config: Document
    layers: tuple[tuple[Descriptor, Path], ...]
    python: ImagePython | None

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that the image sets."""
        given = (self.config.get("config") or {}).get("Env") or ()
        return dict(entry.partition("=")[::2] for entry in given)


def pinned(reference: Reference) -> Reference:
    """The same image by the digest that its registry gives for the name; raises PublishError or ImageError."""
    known = stored_credentials(reference.host, reference.repository)
    with Registry(reference.host, reference.repository, known, push=False) as registry:
        return replace(reference, version=digest_of(_named(registry, reference, reference.version)))


def fetch_base_image(
    reference: Reference,
    platform: str,
    *,
    credentials: Credentials | None = None,
    arrived: ProgressCallback = lambda *_: None,
) -> BaseImage:
    """Download a base image unless it is cached, and determine its Python.

    :param platform: such as `linux/amd64`.
    :param credentials: None for those stored by `docker login` or `podman login`.

    Each call resolves the name at the registry, unless it is a digest that is cached. Raises PublishError if the
    registry does not serve it, ImageError if it is not for the platform or cannot be read.
    """
    known = credentials or stored_credentials(reference.host, reference.repository)
    with Registry(reference.host, reference.repository, known, push=False) as registry:
        manifest, digest = _manifest(registry, reference, platform)
        with _valid(reference):
            config_blob = read_descriptor(manifest["config"])
            layers = [read_descriptor(entry) for entry in manifest["layers"]]
        config = _read_document(reference, _small_blob(registry, config_blob))
        _check_platform(reference, platform, config)
        for layer in layers:
            if (
                "zstd" in layer.media_type
                or "nondistributable" in layer.media_type
                or "foreign" in layer.media_type
            ):
                raise ImageError(
                    f"the base image `{reference}` has a layer of the type `{layer.media_type}`",
                    remedy="Choose a base image whose layers are compressed by gzip",
                )
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            paths = list(pool.map(lambda layer: _large_blob(registry, layer, arrived), layers))
    return BaseImage(
        reference=reference,
        digest=digest,
        platform=platform,
        config=config,
        layers=tuple(zip(layers, paths, strict=True)),
        python=_python(reference, digest, config, paths),
    )


def fit(base: BaseImage, target: Target) -> ImagePython:
    """Check that a base image's Python can run builds for a target, and return it; raises TargetError if not."""
    python, name = base.python, base.reference
    machine = MACHINES.get(base.platform.partition("/")[2])
    if target.markers["sys_platform"] != "linux" or target.markers["platform_machine"] != machine:
        raise TargetError(
            f"the base image `{name}` is for {base.platform}, not for {target.description}",
            remedy="Choose a base image of that platform with --base-image, or another target with --platform",
        )
    if python is None:
        raise TargetError(
            f"the base image `{name}` has no Python on its PATH", remedy="Choose one that has, with --base-image"
        )
    if python.version != target.python_version:
        raise TargetError(
            f"the base image `{name}` has Python {python.version}, not {target.python_version}",
            remedy=f"Give --python-version {python.version}, or another --base-image",
        )
    if target.glibc is not None and (not python.glibc or _numbers(python.glibc) < target.glibc):
        has = f"glibc {python.glibc}" if python.glibc else "another C library than glibc, such as musl"
        raise TargetError(
            f"the base image `{name}` has {has}; the target has glibc {target.glibc[0]}.{target.glibc[1]}",
            remedy="Give the platform of that image with --platform: `pex3 interpreter inspect --markers --tags`,"
            " run in it, prints it; or choose a newer --base-image",
        )
    return python


def _manifest(registry: Registry, reference: Reference, platform: str) -> tuple[Document, str]:
    """Get the manifest for a platform, and its digest."""
    content = _named(registry, reference, reference.version)
    document = _read_document(reference, content)
    if "manifests" not in document:
        return document, digest_of(content)
    with _valid(reference):
        entries = [(entry.get("platform") or {}, read_descriptor(entry).digest) for entry in document["manifests"]]
    digests = {
        f"{described.get('os')}/{described.get('architecture')}": digest for described, digest in reversed(entries)
    }
    if digest := digests.get(platform):
        return _read_document(reference, _named(registry, reference, digest)), digest
    others = ", ".join(sorted(name for name in digests if not name.startswith(("unknown/", "None/"))))
    raise ImageError(
        f"the base image `{reference}` is not there for {platform}",
        detail=f"it is for {others}" if others else None,
        remedy="Choose another base image with --base-image",
    )


def _read_document(reference: Reference, content: bytes) -> Document:
    with _valid(reference):
        document = json.loads(content)
        if not isinstance(document, dict):
            raise TypeError(f"{type(document).__name__} instead of an object")
    return document


@contextlib.contextmanager
def _valid(reference: Reference) -> Iterator[None]:
    """Raise ImageError for what is invalid in a manifest, an index or a config."""
    try:
        yield
    except INVALID as error:
        raise ImageError(
            f"the base image `{reference}` is not valid",
            detail=f"{type(error).__name__}: {error}",
            remedy="Choose another base image with --base-image, or have this one built and pushed again",
        ) from error


def _named(registry: Registry, reference: Reference, version: str) -> bytes:
    """Get a manifest by tag or digest; by digest it is cached."""
    if version.startswith("sha256:") and (content := _kept(version)):
        return content
    content = registry.manifest(version)
    if content is None:
        raise ImageError(
            f"there is no image `{reference}`", remedy="Check its name and its tag, and give it with --base-image"
        )
    digest = digest_of(content)
    if version.startswith("sha256:") and digest != version:
        raise ImageError(f"`{registry.name}` gives `{digest}` for `{version}`", remedy="Ask its operators")
    with storage.atomic_write(_blob_path(digest)) as stream:
        stream.write(content)
    return content


def _small_blob(registry: Registry, blob: Descriptor) -> bytes:
    content = _kept(blob.digest)
    if content is None:
        registry.pull_blob(blob, _blob_path(blob.digest))
        content = _blob_path(blob.digest).read_bytes()
    return content


def _large_blob(registry: Registry, blob: Descriptor, arrived: ProgressCallback) -> Path:
    path = _blob_path(blob.digest)
    with contextlib.suppress(FileNotFoundError):
        if f"sha256:{storage.sha256_of(path)}" == blob.digest:
            storage.mark_used(path)
            arrived(blob.digest, blob.size)
            return path
    registry.pull_blob(blob, path, lambda taken: arrived(blob.digest, taken))
    return path


def _kept(digest: str) -> bytes | None:
    with contextlib.suppress(OSError):
        path = _blob_path(digest)
        content = path.read_bytes()
        if digest_of(content) == digest:
            storage.mark_used(path)
            return content
    return None


def _blob_path(digest: str) -> Path:
    algorithm, _, encoded = digest.partition(":")
    return storage.cache_directory() / "base-images" / algorithm / encoded


def _check_platform(reference: Reference, platform: str, config: Document) -> None:
    actual = f"{config.get('os')}/{config.get('architecture')}"
    if actual != platform:
        raise ImageError(
            f"the base image `{reference}` is for {actual}, not for {platform}",
            remedy="Choose another base image with --base-image",
        )


def _python(reference: Reference, digest: str, config: Document, layers: list[Path]) -> ImagePython | None:
    """Inspect an image's Python, or read the cached result."""
    name = f"{digest.replace(':', '-')}-{_LOOK_VERSION}.json"
    path = storage.cache_directory() / "base-images" / "python" / name
    with contextlib.suppress(OSError, ValueError, TypeError):
        known: dict[str, Any] | None = json.loads(storage.read_checked(path) or "")
        storage.mark_used(path)
        return ImagePython(**known) if known else None
    files = Filesystem()
    for layer in layers:
        files.add_layer(layer, wanted, str(reference))
    given = [entry for entry in (config.get("config") or {}).get("Env") or () if entry.startswith("PATH=")]
    python = find_python(files, given[-1].removeprefix("PATH=") if given else DEFAULT_PATH)
    storage.write_checked(path, json.dumps(asdict(python) if python else None))
    return python


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
