"""The command line of `builder.packages image` and `builder.packages push`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderCommand, option
from builder.terminal.running import verbosity_options

_WHAT: Final = "What to build"
_BASE: Final = "What to build it on"
_NAME: Final = "What to call it"
_REGISTRY: Final = "Registry"


results_option = option(
    OUTPUT,
    "--results",
    "results_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what became of each package here, for `report`.",
)


@click.command(
    cls=BuilderCommand,
    runs="builder.packages.images.commands:build_package_image",
    short_help="Build the container image of a package.",
    examples=("builder.packages image --wheelhouse wheelhouse --package acme",),
)
@option(_WHAT, "--package", "name", required=True, metavar="NAME", help="A package of the wheelhouse.")
@option(
    _WHAT,
    "--wheelhouse",
    "wheelhouse_dir",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Made by `builder.packages build` and `lock`.",
)
@option(
    _WHAT,
    "--out",
    "out_dir",
    type=click.Path(path_type=Path),
    default=Path("images"),
    metavar="DIR",
    help="Where the image layout DIR/NAME goes.",
)
@option(
    _WHAT,
    "--builder",
    type=click.Choice(["direct", "engine"]),
    default="direct",
    help="Put together from wheels, or built by docker buildx or buildah.",
)
@option(
    _BASE,
    "--base",
    "--base-image",
    "base",
    metavar="IMAGE",
    default_text="python:3.11-slim",
    help="The image to build from.",
)
@option(_BASE, "--python-version", default="3.11", metavar="X.Y", help="The Python of the base.")
@option(
    _BASE,
    "--platform",
    "platforms",
    multiple=True,
    metavar="OS/ARCH",
    default_text="linux/amd64",
    help="linux/amd64, linux/arm64, or both with a comma.",
)
@option(
    _NAME,
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    default_text="the version, and sha-COMMIT",
    help="A tag of the image.",
)
@option(
    _NAME,
    "--source",
    metavar="URL",
    default_text="that of the run in GitHub Actions",
    help="The repository's URL, for a label.",
)
@results_option
@verbosity_options
def image() -> None:
    """Build the image of one package: an OCI image layout in a directory, with an SBOM for each platform.

    It is put together here, without a container engine, and the package is imported out of it. The package and its
    siblings come from the wheelhouse, third-party packages from the index, by the hashes of the lock.
    """


@click.command(
    cls=BuilderCommand,
    runs="builder.packages.images.commands:push_images",
    short_help="Push container images to a registry.",
    examples=("builder.packages push images/acme --to ghcr.io/acme",),
)
@click.argument("layouts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LAYOUT...")
@option(_REGISTRY, "--to", required=True, metavar="HOST/OWNER", help="Registry and owner; made lower case.")
@option(
    _REGISTRY,
    "--username",
    metavar="USER",
    default_text="what `docker login` stored",
    help="With --password-stdin.",
)
@option(_REGISTRY, "--password-stdin", is_flag=True, help="Read the password or token from standard input.")
@option(
    _REGISTRY,
    "--default-branch",
    metavar="NAME",
    default_text="as GitHub Actions says",
    help="The branch that `latest` is pushed from.",
)
@options.json_option("Print each image that was pushed")
@results_option
@verbosity_options
def push() -> None:
    """Push images that `image` built to HOST/OWNER/NAME, with their SBOMs, under their tags.

    Everything that an image refers to goes first and its tags last; each is read back. In a run of GitHub Actions
    for the default branch, `latest` is a tag too.
    """
