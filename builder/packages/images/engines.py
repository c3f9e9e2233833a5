"""Running the program that builds an image from a Dockerfile: docker buildx if usable, else buildah.

Both export an image for one platform. `read_image` removes what they add to its config (ids of containers, of
parents, of this machine), so that equal inputs give equal bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Protocol

from builder.errors import ImageError, ToolError
from builder.oci.layout import blob_path
from builder.packages.images.staging import Staged
from builder.system import process, storage

_TIME_LIMIT: Final = 3600.0

# image-spec "Image Configuration", and Docker's extensions of it.
_CONFIG_KEYS: Final = ("architecture", "author", "created", "os", "os.version", "variant")
_RUN_KEYS: Final = (
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
)
_HISTORY_KEYS: Final = ("author", "created", "created_by", "empty_layer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBuild:
    """The settings of one build.

    :param context: the directory with the Dockerfile.
    :param stage: the stage of the Dockerfile to build.
    :param platform: such as `linux/amd64`.
    :param epoch: seconds since 1970; the date of all files in the image.
    """

    context: Path
    stage: str
    platform: str
    epoch: int
    arguments: Mapping[str, str]
    labels: Mapping[str, str]

    def options(self) -> list[str]:
        """The arguments for both programs."""
        words = ["--no-cache", "--platform", self.platform, "--target", self.stage]
        arguments = {"SOURCE_DATE_EPOCH": str(self.epoch), **self.arguments}
        words += [f"--build-arg={name}={value}" for name, value in sorted(arguments.items())]
        return [*words, *(f"--label={name}={value}" for name, value in sorted(self.labels.items()))]


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An exported image for one platform.

    :param config: the canonical config, a JSON document.
    :param layers: gzip-compressed files, the base image's first.
    """

    config: dict[str, Any]
    layers: tuple[Path, ...]


class Engine(Protocol):
    """A program that builds images."""

    name: str

    def build(self, recipe: ImageBuild, export: Path) -> ExportedImage:
        """Build one image; its files are in `export`. Raises ImageError with the program's output."""


def write_context(directory: Path, staged: Sequence[Staged]) -> None:
    """Write the build context that the Dockerfile expects into an empty directory."""
    for name in ("Dockerfile", "verify_import.py"):
        (directory / name).write_bytes((resources.files("builder.packages.images") / name).read_bytes())
    for staged_image in staged:
        place = directory / staged_image.platform.replace("/", "-")
        for kind, wheels in (("packages", staged_image.packages), ("dependencies", staged_image.dependencies)):
            (place / kind).mkdir(parents=True)
            lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel, _path in wheels]
            (place / f"{kind}.txt").write_text("".join(lines), encoding="utf-8")
            for wheel, path in wheels:
                shutil.copyfile(path, place / kind / wheel.filename)


def find_engine() -> Engine:
    """Docker's buildx if it is installed, has a daemon and can export images, else buildah; raises ToolError."""
    docker = _docker_problem()
    if not docker:
        return Buildx()
    if shutil.which("buildah"):
        return Buildah()
    raise ToolError(
        "there is no usable program to build container images",
        detail=f"docker buildx: {docker}\nbuildah: not installed",
        remedy="Leave out `--builder engine`; or install buildah (`apt-get install buildah`), or start Docker and"
        " run `docker buildx create --use --driver docker-container`",
    )


class Buildx:
    """Docker's buildx."""

    name = "docker buildx"

    def build(self, recipe: ImageBuild, export: Path) -> ExportedImage:
        """See `Engine`."""
        output = f"type=oci,dest={export},tar=false,rewrite-timestamp=true"
        words = ["docker", "buildx", "build", "--progress", "plain", "--network", "none"]
        words += ["--provenance=false", "--sbom=false", "--output", output]
        _run([*words, *recipe.options(), recipe.context])
        index = _read(export / "index.json")
        return read_image(_read(blob_path(export, index["manifests"][0]["digest"])), export / "blobs" / "sha256")


class Buildah:
    """Buildah, which needs no daemon, with its own store in the builder's cache.

    It builds in a chroot, which works as root in any container or virtual machine.
    """

    name = "buildah"

    def build(self, recipe: ImageBuild, export: Path) -> ExportedImage:
        """See `Engine`."""
        store = storage.make_directory(storage.cache_directory() / "containers")
        buildah = ["buildah", "--root", f"{store}/storage", "--runroot", f"{store}/run"]
        named = export.with_suffix(".id")
        # Docker's format, because the OCI format has no health check; no cache, because buildah's does not notice
        # a changed bind mount.
        words = ["build", "--isolation", "chroot", "--layers", "--format", "docker", "--identity-label=false"]
        words += ["--timestamp", str(recipe.epoch), "--iidfile", str(named)]
        # One build at a time, because the clean-up below would remove the intermediate images of others.
        with storage.exclusive(store / ".lock"):
            try:
                _run([*buildah, *words, *recipe.options(), recipe.context])
                image = named.read_text(encoding="utf-8").strip()
                _run([*buildah, "push", "--quiet", "--format", "v2s2", image, f"dir:{export}"])
            finally:
                # Remove everything except the base image.
                _run([*buildah, "rmi", "--prune", "--force"])
        return read_image(_read(export / "manifest.json"), export)


def read_image(manifest: Mapping[str, Any], blobs: Path) -> ExportedImage:
    """Read the image of a manifest (OCI or Docker) whose blobs are in one directory, named by their hash."""

    def file(entry: Mapping[str, Any]) -> Path:
        return blobs / str(entry["digest"]).removeprefix("sha256:")

    for layer in manifest["layers"]:
        if not str(layer["mediaType"]).endswith("gzip"):
            raise ImageError(f"the base image has a layer of type `{layer['mediaType']}`, not one made by gzip")
    config = _canonical_config(_read(file(manifest["config"])))
    return ExportedImage(config, tuple(file(layer) for layer in manifest["layers"]))


def _canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    canonical = {key: config[key] for key in _CONFIG_KEYS if config.get(key)}
    run = {key: value for key, value in config["config"].items() if key in _RUN_KEYS and value}
    # Buildah 1.28 always adds this label if labels are given on the command line.
    run["Labels"] = {name: value for name, value in run.get("Labels", {}).items() if name != "io.buildah.version"}
    history = [{key: entry[key] for key in _HISTORY_KEYS if entry.get(key)} for entry in config.get("history", ())]
    return {**canonical, "config": run, "rootfs": config["rootfs"], "history": history}


def _docker_problem() -> str:
    """Why docker buildx is not usable; empty if it is."""
    if not shutil.which("docker"):
        return "not installed"
    inspected = process.run(
        ["docker", "buildx", "inspect"], env=process.credential_environment(), check=False, timeout=60
    )
    if inspected.code:
        return (inspected.stderr.strip().splitlines() or ["not usable"])[-1]
    driver = next((line.split()[-1] for line in inspected.stdout.splitlines() if line.startswith("Driver:")), "")
    if driver != "docker":
        return ""
    # The daemon's own BuildKit can export images only with the containerd image store.
    status = process.run(
        ["docker", "info", "--format", "{{.DriverStatus}}"], env=process.credential_environment(), check=False
    )
    return "" if "io.containerd.snapshotter" in status.stdout else "the driver `docker` cannot export an OCI image"


def _run(words: Sequence[str | os.PathLike[str]]) -> None:
    try:
        process.run(words, env=process.credential_environment(), timeout=_TIME_LIMIT)
    except process.ProcessFailed as error:
        raise ImageError("the image could not be built", detail=error.tail(30)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"what was built cannot be read: `{path.name}`: {error}") from error
    return document
