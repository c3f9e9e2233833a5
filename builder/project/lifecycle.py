"""Scripts and Dockerfiles that the Docker builds of Dagster's tools use, and the builder does not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ProjectError

_SCRIPTS: Final = ("dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh")


def lifecycle_scripts(directories: Iterable[Path]) -> tuple[Path, ...]:
    """The scripts in these directories."""
    paths = (directory / name for directory in dict.fromkeys(directories) for name in _SCRIPTS)
    return tuple(path for path in paths if path.is_file())


def lifecycle_notices(directories: Iterable[Path]) -> tuple[Notice, ...]:
    """Notices about the scripts in these directories, for a build of PEX files."""
    text = (
        "this script is not run, as PEX files run no scripts on the server: declare what it installs as a"
        " requirement, or do what it does in a base image of your own"
    )
    return tuple(Notice(text, Origin(path)) for path in lifecycle_scripts(directories))


def refuse_scripts(directories: Iterable[Path]) -> None:
    """Raise ProjectError for scripts in these directories, for a build of an image."""
    if scripts := lifecycle_scripts(directories):
        names = " and ".join(f"`{script.name}`" for script in scripts)
        raise ProjectError(
            f"{names} cannot be run: an image is put together here, no container of it is started",
            where=Origin(scripts[0]),
            remedy="Do what it does in a base image of your own, and give that with --base-image; or remove it,"
            " and declare what it installs as a requirement",
        )


def dockerfile_notices(directories: Iterable[Path]) -> tuple[Notice, ...]:
    """A warning for each Dockerfile in these directories, for a build of an image."""
    text = (
        "this Dockerfile is not read: the image is the base image with the dependencies and the code; what it does"
        " besides belongs into a base image of your own, given with --base-image"
    )
    paths = (directory / "Dockerfile" for directory in dict.fromkeys(directories))
    return tuple(Notice(text, Origin(path)) for path in paths if path.is_file())
