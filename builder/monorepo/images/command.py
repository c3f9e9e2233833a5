"""`builder.packages image` and `push`: a package of a wheelhouse as a container image, and that in a registry."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import click

from builder.errors import UsageError
from builder.terminal import options as command
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.console import console
from builder.terminal.formatting import size
from builder.terminal.running import verbosity_options

_WHAT: Final = "What to build"
_BASE: Final = "What to build it on"
_NAME: Final = "What to call it"
_REGISTRY: Final = "Registry"


@click.command(
    cls=BuilderCommand,
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
@option(_BASE, "--base", metavar="IMAGE", default_text="python:3.11-slim", help="The image to build from.")
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
    help="The repository, for its label.",
)
@verbosity_options
def image(
    name: str,
    wheelhouse_dir: Path,
    out_dir: Path,
    tags: tuple[str, ...],
    base: str | None,
    python_version: str,
    platforms: tuple[str, ...],
    source: str | None,
) -> None:
    """Build the image of one package: an OCI image layout in a directory, with an SBOM for each platform.

    docker buildx builds it where Docker is there, else buildah. Nothing of the package's or its siblings' comes
    from an index; what does is what its lock names, by hash.
    """
    from builder.monorepo.images.building import (  # noqa: PLC0415  (start-up time)
        DEFAULT_BASE,
        ImageRequest,
        build_image,
    )
    from builder.monorepo.images.engines import find_engine  # noqa: PLC0415  (start-up time)
    from builder.monorepo.wheelhouse import read_wheelhouse  # noqa: PLC0415  (start-up time)
    from builder.oci.layout import blob_path  # noqa: PLC0415  (start-up time)

    wheelhouse = read_wheelhouse(wheelhouse_dir)
    package = wheelhouse.package(name)
    request = ImageRequest(
        wheelhouse,
        package,
        source or _repository_url(),
        base or DEFAULT_BASE,
        tuple(dict.fromkeys(",".join(platforms).split(","))) if platforms else ("linux/amd64",),
        python_version,
        tuple(dict.fromkeys(tags)),
    )
    engine = find_engine()
    out = Path(os.path.abspath(out_dir))  # noqa: PTH100  (resolves no links)
    what = f"the image of {package.name} {package.version} with {engine.name}"
    with console.step(f"built {what}"), console.progress(f"building {what}", None):
        layout = build_image(request, engine, out / package.name)
    rows = []
    for manifest in layout.manifests():
        document = layout.document(manifest)
        layers = [blob_path(layout.path, layer["digest"]).stat().st_size for layer in document["layers"]]
        rows.append([package.name, manifest.platform, size(sum(layers)), str(len(layers)), manifest.digest])
    console.table(["image", "platform", ">size", ">layers", "digest"], rows)
    console.result(f"{layout.path}: {', '.join(layout.tags)}  {layout.image.digest}")


@click.command(
    cls=BuilderCommand,
    short_help="Push container images to a registry.",
    examples=("builder.packages push images/acme --to ghcr.io/acme",),
)
@click.argument("layouts", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LAYOUT...")
@option(_REGISTRY, "--to", required=True, metavar="HOST/OWNER", help="Where to; made lower case.")
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
    help="Only from it is `latest` pushed.",
)
@command.json_option("Print each image that was pushed")
@verbosity_options
def push(
    layouts: tuple[Path, ...],
    to: str,
    username: str | None,
    password_stdin: bool,  # noqa: FBT001  (click passes by name)
    default_branch: str | None,
    as_json: bool,  # noqa: FBT001  (the same)
) -> None:
    """Push images that `image` built to HOST/OWNER/NAME, with their SBOMs, under their tags.

    Everything that an image refers to goes first and its tags last; each is read back. In a run of GitHub Actions
    for the default branch, `latest` is a tag too.
    """
    from builder.monorepo.images.pushing import (  # noqa: PLC0415  (start-up time)
        from_default_branch,
        push_image,
        read_place,
    )
    from builder.oci.layout import read_layout  # noqa: PLC0415  (start-up time)
    from builder.resolution.transport import Credentials  # noqa: PLC0415  (start-up time)

    if password_stdin != (username is not None):
        raise UsageError("--username and --password-stdin go together", remedy="Give both or neither")
    place = read_place(to)
    found = [read_layout(path) for path in layouts]
    credentials = Credentials(username, _password()) if username is not None else None
    latest = from_default_branch(os.environ, default_branch)
    for layout in found:
        with console.step(f"pushed {layout.title}"), console.progress(f"pushing {layout.title}", None):
            pushed = push_image(layout, place, credentials, latest=latest)
        if as_json:
            console.result(json.dumps({"name": pushed.name, "tags": pushed.tags, "digest": pushed.digest}))
        else:
            for tag in pushed.tags:
                console.result(f"{pushed.name}:{tag}  {pushed.digest}")


def _repository_url() -> str:
    server, repository = (os.environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
    if not (server and repository):
        raise UsageError(
            "it cannot be told which repository the package comes from",
            remedy="Give its URL: --source https://github.com/OWNER/REPOSITORY",
        )
    return f"{server}/{repository}"


def _password() -> str:
    password = sys.stdin.read().strip()
    if not password:
        raise UsageError("there is no password on standard input", remedy='Pipe it in: `printf %s "$TOKEN" | …`')
    return password
