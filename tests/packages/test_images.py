"""Container images of packages: built, pulled by digest and run."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builder.oci.filesystem import open_layer
from builder.oci.layout import Descriptor, Layout, read_layout
from builder.packages.images.building import ImageRequest, build_image
from builder.packages.images.engines import write_context
from builder.packages.images.staging import stage
from builder.packages.wheelhouse import Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.resolution import uv
from tests.support import faulty_registry
from tests.support.base_images import SLIM, layer, put, put_index
from tests.support.container_registry import PASSWORD, USER
from tests.support.image_yard import COMMIT, EPOCH, SOURCE, TAG, VERSION, Yard, built_package
from tests.support.index import serving
from tests.support.wheels import make_wheel

LABELS = "org.opencontainers.image"
SITE = "usr/local/lib/python3.11/site-packages"


def test_pulled_by_digest_it_runs_without_network_without_root_and_without_writing(yard: Yard) -> None:
    ran = yard.containers.run(yard.reference("dagster-webserver"))
    assert (ran.returncode, ran.stdout.strip()) == (0, f"dagster-webserver {VERSION}"), ran.stderr


def test_the_user_is_dagster_by_number_in_a_directory_of_its_own(yard: Yard) -> None:
    script = "id -u; id -un; pwd; stat -c %U . $HOME $DAGSTER_HOME"
    ran = yard.containers.run(yard.reference("dagster-webserver"), "sh", "-c", script)
    assert ran.stdout.split() == ["10001", "dagster", "/app", "dagster", "dagster", "dagster"], ran.stderr
    config = yard.config("dagster-webserver")["config"]
    assert config["User"] == "10001:10001"
    assert config["WorkingDir"] == "/app"


def test_siblings_come_from_the_wheelhouse_and_all_else_from_the_index(yard: Yard) -> None:
    # The index also has a dagster of that version, which ends the program when imported.
    asked = {*yard.index.downloads(), *yard.index.pages()}
    assert not [name for name in asked if name.startswith("dagster")]
    script = "import dagster, helping; print(helping.answer)"
    ran = yard.containers.run(yard.reference("dagster-webserver"), "python", "-c", script)
    assert ran.stdout.strip() == "42", ran.stderr


def test_each_label_is_one_of_its_own(yard: Yard) -> None:
    expected = {
        f"{LABELS}.title": "dagster-webserver",
        f"{LABELS}.description": "What dagster-webserver is, in one line",
        f"{LABELS}.version": VERSION,
        f"{LABELS}.source": SOURCE,
        f"{LABELS}.revision": COMMIT,
        f"{LABELS}.created": "2023-11-14T22:13:20Z",
        f"{LABELS}.base.name": yard.base,
        f"{LABELS}.base.digest": yard.registry.get("library/python/manifests/3.11-slim").headers[
            "Docker-Content-Digest"
        ],
    }
    assert yard.config("dagster-webserver")["config"]["Labels"] == expected
    index = yard.registry.document(f"acme/dagster-webserver/manifests/{TAG}")
    assert index["annotations"] == expected
    assert [entry["platform"] for entry in index["manifests"]] == [{"architecture": "amd64", "os": "linux"}]


def test_dependencies_have_a_layer_of_their_own(yard: Yard) -> None:
    digests = {layer["digest"] for layer in yard.manifest("dagster-webserver")[1]["layers"]}
    yard.image("dagster").succeeded()
    both = [yard.images / name for name in ("dagster-webserver", "dagster")]
    login = ("--username", USER, "--password-stdin")
    ran = yard.command("push", *both, "--to", yard.place, *login, stdin=PASSWORD).succeeded()
    shared = digests & {layer["digest"] for layer in yard.manifest("dagster")[1]["layers"]}
    # The layers of the base image, of the user, of the common dependencies from the index, and of `dagster`.
    assert len(shared) == 4
    # They are taken over from the repository of the first: what is sent is the configuration and the SBOM.
    assert re.search(r"pushed dagster: [\d.]+ kB sent", ran.stderr)
    scopes = "repository:acme/dagster:pull,push repository:acme/dagster-webserver:pull"
    assert (USER, scopes) in yard.registry.logins


_DOCKER = r"""#!/usr/bin/env python3
import os, subprocess, sys

words = sys.argv[1:]
if words[:2] == ["buildx", "inspect"]:
    sys.exit(print("Name:   test\nDriver: docker-container"))
assert words[:2] == ["buildx", "build"], words
*words, context = words[2:]
given = dict(zip(words, words[1:]))
assert {"--provenance=false", "--sbom=false"} <= {*words}, words
assert (given["--progress"], given["--network"]) == ("plain", "none"), words
output = dict(part.split("=", 1) for part in given["--output"].split(","))
assert (output["type"], output["tar"], output["rewrite-timestamp"]) == ("oci", "false", "true"), output
kept = [word for word in words if word.startswith(("--build-arg=", "--label="))]
kept += ["--no-cache", f"--platform={given['--platform']}", f"--target={given['--target']}"]
assert "--no-cache" in words and len(words) == len(kept) + 10, words
copy = ["skopeo", "copy", "--quiet", "--format=oci"]
subprocess.run([*copy, os.environ["BUILT"], "oci:" + output["dest"]], check=True)
"""


def test_an_image_of_an_engine_runs_like_one_that_is_put_together(yard: Yard, tmp_path: Path) -> None:
    engine = ("dagster-webserver", "--builder", "engine", "--out")
    assert "with buildah" in yard.image(*engine, tmp_path / "buildah").succeeded().stderr
    # There is no Docker daemon in the tests: a stand-in with buildx's command line exports what buildah built.
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    built = f"oci:{tmp_path}/buildah/dagster-webserver:{TAG}"
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BUILT": built}
    assert "with docker buildx" in yard.image(*engine, tmp_path / "buildx", env=env).succeeded().stderr
    direct, buildah, buildx = (
        config_of(path) for path in (yard.images, tmp_path / "buildah", tmp_path / "buildx")
    )
    assert direct["config"] == buildah["config"]
    assert {**direct, "rootfs": 0, "history": 0} == {**buildah, "rootfs": 0, "history": 0}
    # Except for the health check, which the stand-in's OCI format does not support.
    assert buildah["config"].pop("Healthcheck")
    assert buildx == buildah


def config_of(images: Path) -> dict[str, Any]:
    """The configuration of the image of `dagster-webserver` in a directory."""
    layout = read_layout(images / "dagster-webserver")
    (manifest,) = layout.manifests()
    config: dict[str, Any] = json.loads(layout.read(layout.document(manifest)["config"]["digest"]))
    return config


def test_two_builds_on_two_machines_are_one_digest(yard: Yard, tmp_path: Path) -> None:
    moved = {"BUILDER_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    yard.image("dagster-webserver", "--out", tmp_path / "again", env=moved).succeeded()
    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (yard.images / "dagster-webserver", tmp_path / "again" / "dagster-webserver")
    )
    assert first.keys() == second.keys()
    assert first == second


def test_the_command_fails_when_the_import_fails(yard: Yard) -> None:
    broken = yard.root / "broken"
    (broken / "dagster_webserver").mkdir(parents=True)
    (broken / "dagster_webserver" / "__init__.py").write_text("import no_such_module\n")
    options = ("--env", "PYTHONPATH=/broken", "--volume", f"{broken}:/broken:ro")
    ran = yard.containers.run(yard.reference("dagster-webserver"), options=options)
    assert ran.returncode == 1
    assert "No module named 'no_such_module'" in ran.stderr


def test_no_image_is_made_of_a_package_that_cannot_be_imported(yard: Yard) -> None:
    ran = yard.image("dagster-broken")
    assert ran.code == 1
    assert "error: `dagster-broken` does not work in its image\n" in ran.stderr
    assert "No module named 'no_such_module'" in ran.stderr
    assert not (yard.images / "dagster-broken").exists()


def test_the_webserver_says_whether_it_is_healthy(yard: Yard) -> None:
    yard.containers.podman(
        "run",
        "--detach",
        "--quiet",
        "--name=web",
        "--network=none",
        yard.reference("dagster-webserver"),
        "sleep",
        "60",
    )
    try:
        assert yard.containers.podman("healthcheck", "run", "web", check=False).returncode == 1
        yard.containers.podman("exec", "--detach", "web", "dagster-webserver")
        # Wait until the port is open; the base image has no curl with `--retry-connrefused`.
        wait = "import socket, time\nwhile socket.socket().connect_ex(('127.0.0.1', 3000)): time.sleep(0.05)"
        yard.containers.podman("exec", "web", "python", "-c", wait)
        assert yard.containers.podman("healthcheck", "run", "web").returncode == 0
    finally:
        yard.containers.podman("rm", "--force", "--time=0", "web")
    _digest, manifest = yard.manifest("dagster-webserver")
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"


def test_each_platform_gets_its_own_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf, wheelhouse, context = (tmp_path / name for name in ("shelf", "wheelhouse", "context"))
    for directory in (shelf, wheelhouse / "locks", context):
        directory.mkdir(parents=True)
    hashes = []
    for version, tag in (
        ("1.0", "cp311-cp311-manylinux_2_17_x86_64"),
        ("1.0", "cp311-cp311-manylinux_2_17_aarch64"),
        ("2.0", "py3-none-any"),
    ):
        wheel = make_wheel(shelf, {"native.py": ""}, name="native", version=version, tag=tag)
        hashes.append(f"--hash=sha256:{wheel.sha256}")
    package = built_package(wheelhouse, "dagster-pipes", {"dagster_pipes/__init__.py": ""})
    write_wheelhouse(Wheelhouse(directory=wheelhouse, commit=COMMIT, source_date_epoch=EPOCH, packages=(package,)))
    (wheelhouse / "locks" / "dagster-pipes.txt").write_text(
        f"dagster-pipes=={VERSION} \\\n    --hash=sha256:{package.sha256}\n"
        f"native==1.0 ; python_full_version < '3.12' \\\n    {hashes[0]} \\\n    {hashes[1]}\n"
        f"native==2.0 ; python_full_version >= '3.12' \\\n    {hashes[2]}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("BUILDER_UV", str(uv.executable()))
    login = base64.b64encode(f"{faulty_registry.USER}:{faulty_registry.PASSWORD}".encode()).decode()
    with serving(shelf) as index, faulty_registry.serving_faulty_registry() as registry:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        platforms = ("linux/amd64", "linux/arm64")
        staged = stage(read_wheelhouse(wheelhouse), package, platforms, "3.11")
        machines = {name: name.removeprefix("linux/") for name in platforms}
        bases = {
            name: put(registry, layer({**SLIM, name: b""}), architecture=machine, tag=machine)
            for name, machine in machines.items()
        }
        put_index(registry, bases)
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": login}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "config.json"))
        base = f"{registry.host}/library/python:3.11-slim"
        house = read_wheelhouse(wheelhouse)
        request = ImageRequest(wheelhouse=house, package=package, source=SOURCE, base=base, platforms=platforms)
        layout = build_image(request, None, tmp_path / "image")
    tags = [_native_tag(layout, manifest) for manifest in layout.manifests()]
    assert tags == ["cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_17_aarch64"]
    assert "the image for linux/arm64 was not tried" in capsys.readouterr().err
    write_context(context, staged)
    assert [[wheel.filename for wheel in each.wheels if not wheel.own] for each in staged] == [
        ["native-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"],
        ["native-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"],
    ]
    for each in staged:
        there = (context / each.platform.replace("/", "-")).glob("*/*.whl")
        assert {path.name for path in there} == {wheel.filename for wheel in each.wheels}


def _native_tag(layout: Layout, manifest: Descriptor) -> str:
    """The tag of the distribution `native` in the image of a platform, which must be upon the base of that."""
    found: dict[str, bytes] = {}
    for entry in layout.document(manifest)["layers"]:
        with open_layer(layout.whole_blob(entry["digest"])) as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                found[member.name] = stream.read() if stream else b""
    assert manifest.platform in found
    (tag,) = re.findall(r"Tag: (\S+)", found[f"{SITE}/native-1.0.dist-info/WHEEL"].decode())
    return str(tag)


def test_a_lock_of_another_wheelhouse_is_refused(yard: Yard, tmp_path: Path) -> None:
    wheelhouse = tmp_path / "wheelhouse"
    subprocess.run(["cp", "-r", yard.wheelhouse, wheelhouse], check=True)
    lock = wheelhouse / "locks" / "dagster.txt"
    own = next(built for built in read_wheelhouse(wheelhouse).packages if built.name == "dagster")
    lock.write_text(lock.read_text().replace(own.sha256, "0" * 64))
    words = ("image", "--package", "dagster", "--wheelhouse", wheelhouse, "--source", SOURCE)
    error = yard.command(*words).failed()
    assert "another wheel of `dagster`" in error
    assert "builder.packages lock" in error


def test_what_cannot_be_asked_for_is_refused_before_anything_is_built(yard: Yard) -> None:
    assert "perhaps dagster-webserver" in yard.image("dagster-websever").failed(2)
    assert "is not a container tag" in yard.image("dagster", "--tag", "1.0+local").failed(2)
    assert "linux/s390x" in yard.image("dagster", "--platform", "linux/s390x").failed(2)
    assert "is not a namespace of a registry" in yard.command("push", yard.images, "--to", "ghcr.io").failed(2)
    assert "go together" in yard.command("push", yard.images, "--to", "ghcr.io/acme", "--username", "x").failed(2)
