"""What `builder.packages image` and `push` do: build a package's image, push images to a registry."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from builder.deployment.github import is_of_default_branch
from builder.errors import UsageError
from builder.oci.layout import blob_path, read_layout
from builder.packages.images.building import DEFAULT_BASE, ImageRequest, build_image
from builder.packages.images.engines import find_engine
from builder.packages.images.pushing import push_image, read_namespace
from builder.packages.results import recording
from builder.packages.wheelhouse import read_wheelhouse
from builder.resolution.transport import Credentials
from builder.terminal.console import console
from builder.terminal.formatting import size


def build_package_image(
    *,
    name: str,
    wheelhouse_dir: Path,
    out_dir: Path,
    tags: tuple[str, ...],
    base: str | None,
    python_version: str,
    platforms: tuple[str, ...],
    source: str | None,
    builder: str,
    results_dir: Path | None,
) -> None:
    """Build the image of a wheelhouse's package; see `builder.packages image`."""
    wheelhouse = read_wheelhouse(wheelhouse_dir)
    package = wheelhouse.package(name)
    request = ImageRequest(
        wheelhouse=wheelhouse,
        package=package,
        source=source or _repository_url(),
        base=base or DEFAULT_BASE,
        platforms=tuple(dict.fromkeys(",".join(platforms).split(","))) if platforms else ("linux/amd64",),
        python_version=python_version,
        tags=tuple(dict.fromkeys(tags)),
    )
    engine = find_engine() if builder == "engine" else None
    out = Path(os.path.abspath(out_dir))  # noqa: PTH100  (resolves no links)
    what = f"the image of {package.name} {package.version}" + (f" with {engine.name}" if engine else "")
    with (
        recording(results_dir, "image", package.name) as facts,
        console.step(f"built {what}"),
        console.progress(f"building {what}", None),
    ):
        layout = build_image(request, engine, out / package.name)
        facts.update(digest=layout.image.digest, platforms=list(request.platforms))
    rows = []
    for manifest in layout.manifests():
        document = layout.document(manifest)
        layers = [blob_path(layout.path, layer["digest"]).stat().st_size for layer in document["layers"]]
        rows.append([package.name, manifest.platform, size(sum(layers)), str(len(layers)), manifest.digest])
    console.table(["image", "platform", ">size", ">layers", "digest"], rows)
    console.result(f"{layout.path}: {', '.join(layout.tags)}  {layout.image.digest}")


def push_images(
    *,
    layouts: tuple[Path, ...],
    to: str,
    username: str | None,
    password_stdin: bool,
    default_branch: str | None,
    as_json: bool,
    results_dir: Path | None,
) -> None:
    """Push image layouts to a registry; see `builder.packages push`."""
    if password_stdin != (username is not None):
        raise UsageError("--username and --password-stdin go together", remedy="Give both or neither")
    place = read_namespace(to)
    images = [read_layout(path) for path in layouts]
    credentials = Credentials(username, _password()) if username is not None else None
    latest = is_of_default_branch(os.environ, default_branch)
    holders: dict[str, str] = {}
    for layout in images:
        with (
            recording(results_dir, "push", layout.title) as facts,
            console.step(f"pushed {layout.title}") as step,
            console.progress(f"pushing {layout.title}", None),
        ):
            pushed = push_image(layout, place, credentials, latest=latest, holders=holders)
            step.title = f"pushed {layout.title}: {size(pushed.sent)} sent"
            facts.update(name=pushed.name, tags=list(pushed.tags), digest=pushed.digest)
        if as_json:
            console.result(json.dumps({"name": pushed.name, "tags": pushed.tags, "digest": pushed.digest}))
        else:
            for tag in pushed.tags:
                console.result(f"{pushed.name}:{tag}  {pushed.digest}")


def _repository_url() -> str:
    server, repository = (os.environ.get(name) for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"))
    if not (server and repository):
        raise UsageError(
            "the repository of the package is unknown",
            remedy="Give its URL: --source https://github.com/OWNER/REPOSITORY",
        )
    return f"{server}/{repository}"


def _password() -> str:
    password = sys.stdin.read().strip()
    if not password:
        raise UsageError("there is no password on standard input", remedy='Pipe it in: `printf %s "$TOKEN" | …`')
    return password
