"""Putting a package's image together from a base image and wheels, without a program that builds images."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from builder.assembly.archive import directory, stored
from builder.assembly.image_deps import LAYER_VERSION, dependency_layers, kept_layer
from builder.assembly.image_layer import ROOT, LayerWriter
from builder.assembly.image_source import ImageUser
from builder.assembly.layer import Layer
from builder.assembly.wheels import WheelFile
from builder.building.foundation import lay_foundation
from builder.errors import ImageError, Notice
from builder.oci.image import PlatformImage, Running, add_image
from builder.oci.layout import DOCKER, OCI, Descriptor, LayoutWriter, read_layout
from builder.oci.reference import Reference
from builder.packages.images.staging import Staged
from builder.packages.wheelhouse import BuiltPackage
from builder.resolution import uv
from builder.resolution.pythons import find_python
from builder.resolution.target import IMAGE_PLATFORMS, platform_target
from builder.system import process, storage
from builder.terminal.console import console
from builder.verification.unpack_image import read_image_files, unpack_layers

_VERIFY: Final = "opt/dagster/verify_import.py"
_HOME: Final = "opt/dagster/dagster_home"
_APP: Final = "app"
_TIMEOUT_SECONDS: Final = 180.0
_PORT: Final = "3000"
_SECOND: Final = 1_000_000_000

_HEALTH: Final = (
    "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:'"
    " + os.environ['DAGSTER_WEBSERVER_PORT'] + '/server_info', timeout=4)"
)
_WEBSERVER: Final[Mapping[str, object]] = {
    "ExposedPorts": {f"{_PORT}/tcp": {}},
    "Healthcheck": {
        "Test": ["CMD", "python", "-c", _HEALTH],
        "Interval": 30 * _SECOND,
        "Timeout": 5 * _SECOND,
        "StartPeriod": 60 * _SECOND,
        "Retries": 3,
    },
}
"""What the stage `webserver` of the Dockerfile says."""


def add_package_image(
    layout: LayoutWriter,
    staged: Staged,
    package: BuiltPackage,
    *,
    base: Reference,
    python_version: str,
    labels: Mapping[str, str],
    created: str,
    webserver: bool,
) -> Descriptor:
    """Add the image of one platform to a layout that is being written; returns its manifest.

    The layers upon the base: the user; the dependencies, as those of a location's image; the package.

    Raises PublishError, ImageError or TargetError for a base that is not there or does not fit.
    """
    target = platform_target(staged.platform, python_version)
    foundation = lay_foundation(str(base), target, own_registry=True, logins={})
    wheels = [WheelFile(path, wheel.sha256) for wheel, path in (*staged.dependencies, *staged.packages)]
    installed = dependency_layers(wheels, foundation.scheme, top=package.name)
    console.notices(installed.notices)
    variables = {**variables_of(package), "DAGSTER_HOME": f"/{_HOME}", "PYTHONUNBUFFERED": "1"}
    if webserver:
        variables["DAGSTER_WEBSERVER_PORT"] = _PORT
    layers = foundation.layers(
        [_user_layer(foundation.user), *installed.layers], [wheel.name for wheel in staged.wheels]
    )
    running = Running(
        user=foundation.user.name,
        working_directory=f"/{_APP}",
        command=("python", "-B", f"/{_VERIFY}"),
        variables=variables,
        labels=labels,
        more=_WEBSERVER if webserver else {},
        created=created,
    )
    # The OCI format has no health check.
    return add_image(layout, PlatformImage(foundation.base, layers, running), DOCKER if webserver else OCI)


def variables_of(package: BuiltPackage) -> dict[str, str]:
    """The environment variables that verify_import.py reads."""
    return {"PACKAGE": package.name, "IMPORT_NAMES": " ".join(package.import_names)}


def verify_package_image(path: Path, package: BuiltPackage, python_version: str) -> None:
    """Import the package out of the image's layers, by a Python of this machine; an error if that fails.

    A warning names the platforms that this machine cannot run. Raises ImageError, or TargetError without a Python.
    """
    built = {manifest.platform for manifest in read_layout(path).manifests()}
    others = {name for name in built if IMAGE_PLATFORMS[name] != platform.machine()}
    if others:
        said = f"the image for {', '.join(sorted(others))} was not tried: try it on such a machine"
        console.notices([Notice(said)])
    if built == others:
        return
    python = find_python(python_version)
    with storage.scratch_directory(storage.cache_directory() / "checks") as scratch:
        venv = scratch / "venv"
        unpack_layers(read_image_files(path), venv, python)
        script = scratch / "verify_import.py"
        script.write_bytes(_verify_import())
        environment = {**variables_of(package), "HOME": str(scratch), "DAGSTER_DISABLE_TELEMETRY": "1"}
        try:
            process.run(
                [venv / "bin" / "python", "-B", script],
                env=process.clean_environment(environment),
                cwd=scratch,
                timeout=_TIMEOUT_SECONDS,
            )
            uv.run(["pip", "check", "--python", venv / "bin" / "python"], cwd=scratch)
        except process.ProcessFailed as error:
            raise ImageError(
                f"`{package.name}` does not work in its image",
                detail=error.tail(30),
                remedy="`builder.packages check` says more; correct what the package requires, or its code",
            ) from error


def _user_layer(user: ImageUser) -> Layer:
    """The layer with the user, the directories that belong to it, and the default command."""
    owned = [directory(name) for name in (_APP, _HOME, *([user.home[1:]] if user.home else []))]
    files = [stored(_VERIFY, _verify_import()), *user.files]
    key = hashlib.sha256(repr((LAYER_VERSION, user.owner, owned, files)).encode()).hexdigest()

    def write(writer: LayerWriter) -> None:
        members = {member.name: member for member in (directory("opt/dagster"), *owned, *files)}
        for _name, member in sorted(members.items()):
            writer.add(member, user.owner if member in owned else ROOT)

    return kept_layer(key, "user and default command", write)


def _verify_import() -> bytes:
    return (resources.files("builder.packages.images") / "verify_import.py").read_bytes()
