"""Container images of packages: built, pushed to a real registry, pulled by digest and run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.errors import PublishError
from builder.monorepo.images.context import write_context
from builder.monorepo.wheelhouse import BuiltPackage, Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.oci.layout import blob_path, read_layout
from builder.oci.registry import Registry
from builder.resolution import uv
from builder.resolution.transport import Credentials
from builder.system import storage
from tests.support.commands import SECONDS, Ran
from tests.support.container_registry import PASSWORD, USER, ContainerRegistry, serving_containers
from tests.support.containers import Containers, container_settings, push_base, require_programs
from tests.support.index import Index, serving
from tests.support.programs import REPOSITORY
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.slow, pytest.mark.containers, pytest.mark.xdist_group("images")]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EPOCH = 1_700_000_000
VERSION = "1.13.30.dev42+g0123456"
TAG = "1.13.30.dev42-g0123456"
SOURCE = "https://github.com/Acme/dagster"
LABELS = "org.opencontainers.image"

_SERVER = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/server_info" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"dagster_webserver_version": "1"}).encode())

def main():
    with http.server.HTTPServer(("127.0.0.1", int(os.environ["DAGSTER_WEBSERVER_PORT"])), Handler) as server:
        server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Yard:
    """A wheelhouse, an index, a registry with the base image, and container programs."""

    root: Path
    index: Index
    registry: ContainerRegistry
    containers: Containers
    cache: Path

    @property
    def wheelhouse(self) -> Path:
        return self.root / "wheelhouse"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def place(self) -> str:
        return f"{self.registry.host}/Acme"

    @property
    def base(self) -> str:
        return f"{self.registry.host}/library/python:3.11-slim"

    def command(self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        environment = {
            **self.containers.environment,
            "PYTHONPATH": str(REPOSITORY),
            "BUILDER_CACHE_DIR": str(self.cache),
            "BUILDER_UV": str(uv.executable()),
            "UV_DEFAULT_INDEX": self.index.url,
            "PIP_CONFIG_FILE": "/dev/null",
            **(env or {}),
        }
        finished = subprocess.run(
            [sys.executable, "-m", "builder.packages", *words],
            env=environment,
            cwd=self.root,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=3 * SECONDS,
            check=False,
        )
        return Ran(finished.returncode, finished.stdout, finished.stderr)

    def image(self, name: str, *options: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        words = ("image", "--package", name, "--wheelhouse", self.wheelhouse, "--source", SOURCE)
        return self.command(*words, "--base", self.base, *options, env=env)

    def push(self, name: str, *options: str, env: Mapping[str, str] | None = None) -> Ran:
        words = ("push", self.images / name, "--to", self.place, "--username", USER, "--password-stdin")
        return self.command(*words, *options, stdin=f"{PASSWORD}\n", env=env)

    def manifest(self, name: str) -> tuple[str, dict[str, Any]]:
        """The digest and the manifest of an image's only platform, read from the registry."""
        index = self.registry.document(f"acme/{name}/manifests/{TAG}")
        (entry,) = index["manifests"]
        return entry["digest"], self.registry.document(f"acme/{name}/manifests/{entry['digest']}")

    def config(self, name: str) -> dict[str, Any]:
        _digest, manifest = self.manifest(name)
        return self.registry.document(f"acme/{name}/blobs/{manifest['config']['digest']}")

    def reference(self, name: str) -> str:
        return f"{self.registry.host}/acme/{name}@{self.manifest(name)[0]}"


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Yard]:
    """A yard in which the image of `dagster-webserver` is built and pushed."""
    require_programs()
    assert pytestconfig.cache is not None
    root = tmp_path_factory.mktemp("images")
    _make_wheelhouse(root / "wheelhouse", _make_shelf(root / "shelf"))
    (root / "registry").mkdir()
    with serving(root / "shelf") as index, serving_containers(root / "registry") as registry:
        push_base(registry, pytestconfig.cache.mkdir("container-base"))
        with container_settings(root, registry) as containers:
            place = Yard(root, index, registry, containers, storage.cache_directory())
            place.image("dagster-webserver").succeeded()
            place.push("dagster-webserver").succeeded()
            yield place


def _make_shelf(directory: Path) -> Path:
    """The index's distributions: dependencies, and one with a sibling's name, which must not be installed."""
    directory.mkdir()
    make_wheel(directory, {"helping/__init__.py": "answer = 42\n"}, name="helping", version="2.0")
    make_wheel(directory, {"dagster/__init__.py": "raise SystemExit('public')\n"}, name="dagster", version=VERSION)
    return directory


def _make_wheelhouse(directory: Path, shelf: Path) -> None:
    directory.mkdir()
    packages = (
        _package(directory, "dagster", {"dagster/__init__.py": "import helping\n"}),
        _package(
            directory,
            "dagster-webserver",
            {"dagster_webserver/__init__.py": "import dagster\n", "dagster_webserver/server.py": _SERVER},
            requires=("dagster",),
        ),
        _package(directory, "dagster-broken", {"dagster_broken/__init__.py": "import no_such_module\n"}),
    )
    write_wheelhouse(Wheelhouse(directory, COMMIT, EPOCH, packages))
    (directory / "locks").mkdir()
    helping = hashlib.sha256((shelf / "helping-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    index = f"helping==2.0 \\\n    --hash=sha256:{helping}\n"
    for package in packages:
        needed = (package.name, *package.requires)
        own = [f"{p.name}=={p.version} \\\n    --hash=sha256:{p.sha256}\n" for p in packages if p.name in needed]
        others = index if "dagster" in needed else ""
        (directory / "locks" / f"{package.name}.txt").write_text("".join([*own, others]), encoding="utf-8")


def _package(
    directory: Path, name: str, files: Mapping[str, str], *, requires: tuple[str, ...] = ()
) -> BuiltPackage:
    scripts = "[console_scripts]\ndagster-webserver = dagster_webserver.server:main\n" if requires else ""
    wheel = make_wheel(
        directory,
        files,
        name=name,
        version=VERSION,
        requires=[*(f"{other}=={VERSION}" for other in requires), *(["helping"] if name == "dagster" else [])],
        entry_points=scripts,
    )
    return BuiltPackage(
        name=name,
        version=VERSION,
        import_names=(name.replace("-", "_"),),
        console_scripts=("dagster-webserver",) if scripts else (),
        wheel=wheel.path.name,
        sha256=wheel.sha256,
        size=wheel.path.stat().st_size,
        requires=requires,
        family="core",
        has_webapp=bool(scripts),
        summary=f"What {name} is, in one line",
    )


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
    yard.push("dagster").succeeded()
    shared = digests & {layer["digest"] for layer in yard.manifest("dagster")[1]["layers"]}
    # The layers of the base image, of the user, and of the common dependencies from the index.
    assert len(shared) >= 3


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
epoch = next(word.rpartition("=")[2] for word in kept if word.startswith("--build-arg=SOURCE_DATE_EPOCH="))
store = ["--root", os.environ["STORE"] + "/root", "--runroot", os.environ["STORE"] + "/run"]
build = ["buildah", *store, "build", "--isolation=chroot", "--layers", "--format=docker", "--timestamp", epoch]
subprocess.run([*build, "--iidfile", os.environ["STORE"] + "/id", *kept, context], check=True)
image = open(os.environ["STORE"] + "/id").read()
subprocess.run(["buildah", *store, "push", "--quiet", "--format=oci", image, "oci:" + output["dest"]], check=True)
"""


def test_docker_buildx_is_told_the_same_and_what_it_exports_is_read(yard: Yard, tmp_path: Path) -> None:
    # There is no Docker daemon in the tests: a stand-in with buildx's command line exports an OCI layout as buildx
    # does, using buildah.
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    (tmp_path / "store").mkdir()
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "STORE": str(tmp_path / "store")}
    ran = yard.image("dagster-webserver", "--out", tmp_path / "out", env=env).succeeded()
    assert "with docker buildx" in ran.stderr
    layout, other = (read_layout(path / "dagster-webserver") for path in (tmp_path / "out", yard.images))
    (manifest,), (expected,) = layout.manifests(), other.manifests()
    config, expected_config = (
        json.loads(each.read(each.document(entry)["config"]["digest"]))
        for each, entry in ((layout, manifest), (other, expected))
    )
    # Except for the health check, which the stand-in's OCI format does not support.
    assert expected_config["config"].pop("Healthcheck")
    assert config == expected_config


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
    # For a slow build, the first line says so.
    assert "error: the image could not be built\n" in ran.stderr
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


def test_the_sbom_refers_to_the_image_and_lists_every_wheel(yard: Yard) -> None:
    digest, _manifest = yard.manifest("dagster-webserver")
    (entry,) = yard.registry.document(f"acme/dagster-webserver/manifests/{digest.replace(':', '-')}")["manifests"]
    assert entry["artifactType"] == "application/vnd.cyclonedx+json"
    artifact = yard.registry.document(f"acme/dagster-webserver/manifests/{entry['digest']}")
    assert artifact["subject"]["digest"] == digest
    sbom = yard.registry.document(f"acme/dagster-webserver/blobs/{artifact['layers'][0]['digest']}")
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == digest.removeprefix("sha256:")
    listed = {entry["purl"]: entry["hashes"][0]["content"] for entry in sbom["components"]}
    own = {built.name: built for built in read_wheelhouse(yard.wheelhouse).packages}
    encoded = VERSION.replace("+", "%2B")
    assert listed == {
        f"pkg:pypi/dagster@{encoded}": own["dagster"].sha256,
        f"pkg:pypi/dagster-webserver@{encoded}": own["dagster-webserver"].sha256,
        "pkg:pypi/helping@2.0": storage.sha256_of(yard.root / "shelf" / "helping-2.0-py3-none-any.whl"),
    }


def test_tags_are_the_version_and_the_commit_and_latest_on_the_default_branch_only(
    yard: Yard, tmp_path: Path
) -> None:
    plain = {TAG, "sha-0123456"}
    name = "tagged/dagster-webserver"
    place = ("--to", f"{yard.registry.host}/Tagged", "--username", USER, "--password-stdin")
    words = ("push", yard.images / "dagster-webserver", *place)
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "trunk"}}))
    run = {"GITHUB_EVENT_PATH": str(event), "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/other"}
    yard.command(*words, stdin=PASSWORD, env=run).succeeded()
    yard.command(*words, stdin=PASSWORD, env={**run, "GITHUB_REF": "refs/tags/trunk"}).succeeded()
    pull_request = {"GITHUB_REF": "refs/heads/trunk", "GITHUB_EVENT_NAME": "pull_request_target"}
    yard.command(*words, stdin=PASSWORD, env={**run, **pull_request}).succeeded()
    named = {tag for tag in yard.registry.tags(name) if not tag.startswith("sha256-")}
    assert named == plain
    ran = yard.command(*words, "--json", stdin=PASSWORD, env={**run, "GITHUB_REF": "refs/heads/trunk"}).succeeded()
    pushed = json.loads(ran.stdout)
    assert pushed["name"] == f"{yard.registry.host}/{name}"
    assert set(pushed["tags"]) == {*plain, "latest"}
    assert yard.registry.get(f"{name}/manifests/latest").headers["Docker-Content-Digest"] == pushed["digest"]


def test_an_image_that_is_there_is_not_sent_again(yard: Yard) -> None:
    first = yard.push("dagster-webserver").succeeded().stdout
    assert yard.push("dagster-webserver").succeeded().stdout == first
    assert yard.registry.logins[-1] == (USER, "repository:acme/dagster-webserver:pull,push")


def test_a_tag_that_gives_something_else_is_noticed(yard: Yard) -> None:
    layout = read_layout(yard.images / "dagster-webserver")
    with Registry(yard.registry.host, "acme/dagster-webserver", Credentials(USER, PASSWORD)) as registry:
        registry.verify(TAG, layout.image.digest)
        with pytest.raises(PublishError, match="which was pushed as"):
            registry.verify(TAG, layout.manifests()[0].digest)
        with pytest.raises(PublishError, match="gives nothing"):
            registry.verify("no-such-tag", layout.image.digest)


def test_a_layout_with_a_changed_blob_is_not_pushed(yard: Yard, tmp_path: Path) -> None:
    shutil.copytree(yard.images / "dagster-webserver", tmp_path / "changed")
    manifest = read_layout(tmp_path / "changed").manifests()[0]
    path = blob_path(tmp_path / "changed", manifest.digest)
    path.write_bytes(path.read_bytes() + b" ")
    place = ("--to", f"{yard.registry.host}/changed", "--username", USER, "--password-stdin")
    error = yard.command("push", tmp_path / "changed", *place, stdin=PASSWORD).failed()
    assert "has other bytes than its name says" in error
    assert not yard.registry.tags("changed/dagster-webserver")


def test_who_does_not_log_in_may_not_push(yard: Yard) -> None:
    error = yard.command(
        "push", yard.images / "dagster-webserver", "--to", f"{yard.registry.host}/nobody"
    ).failed()
    assert "requires a login to push to `nobody/dagster-webserver`" in error
    assert "docker login" in error
    assert not yard.registry.tags("nobody/dagster-webserver")


def test_a_wrong_password_may_not_push_and_is_not_shown(yard: Yard) -> None:
    words = ("push", yard.images / "dagster-webserver", "--to", f"{yard.registry.host}/nobody")
    ran = yard.command(*words, "--username", USER, "--password-stdin", "--verbose", stdin="wrong-password")
    assert f"refuses to let `{USER}` push" in ran.stderr
    assert ran.code == 1
    assert "wrong-password" not in ran.stdout + ran.stderr
    assert not yard.registry.tags("nobody/dagster-webserver")


@pytest.mark.parametrize(
    "variable, name, owner", [("REGISTRY_AUTH_FILE", "auth.json", "one"), ("DOCKER_CONFIG", "config.json", "two")]
)
def test_what_docker_login_stored_is_used(
    yard: Yard, tmp_path: Path, variable: str, name: str, owner: str
) -> None:
    yard.containers.podman(
        "login", "--authfile", tmp_path / name, "--username", USER, "--password", PASSWORD, yard.registry.host
    )
    value = tmp_path / name if variable == "REGISTRY_AUTH_FILE" else tmp_path
    words = ("push", yard.images / "dagster-webserver", "--to", f"{yard.registry.host}/{owner}")
    yard.command(*words, env={variable: str(value)}).succeeded()
    assert TAG in yard.registry.tags(f"{owner}/dagster-webserver")


def test_a_credential_helper_is_asked(yard: Yard, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-test"
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\n[ \"$(cat)\" = {yard.registry.host} ] && echo '{answer}'\n", encoding="utf-8")
    helper.chmod(0o755)
    settings = {"credHelpers": {yard.registry.host: "test"}}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    env = {"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ("push", yard.images / "dagster-webserver", "--to", f"{yard.registry.host}/helped")
    yard.command(*words, env=env).succeeded()
    assert TAG in yard.registry.tags("helped/dagster-webserver")


def test_each_platform_gets_its_own_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    package = _package(wheelhouse, "dagster-pipes", {"dagster_pipes/__init__.py": ""})
    write_wheelhouse(Wheelhouse(wheelhouse, COMMIT, EPOCH, (package,)))
    (wheelhouse / "locks" / "dagster-pipes.txt").write_text(
        f"dagster-pipes=={VERSION} \\\n    --hash=sha256:{package.sha256}\n"
        f"native==1.0 ; python_full_version < '3.12' \\\n    {hashes[0]} \\\n    {hashes[1]}\n"
        f"native==2.0 ; python_full_version >= '3.12' \\\n    {hashes[2]}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("BUILDER_UV", str(uv.executable()))
    with serving(shelf) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        platforms = ("linux/amd64", "linux/arm64")
        staged = write_context(context, read_wheelhouse(wheelhouse), package, platforms, "3.11")
    assert [[wheel.filename for wheel in each.wheels if not wheel.own] for each in staged] == [
        ["native-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"],
        ["native-1.0-cp311-cp311-manylinux_2_17_aarch64.whl"],
    ]
    for each in staged:
        there = (context / each.platform.replace("/", "-")).glob("*/*.whl")
        assert {path.name for path in there} == {wheel.filename for wheel in each.wheels}


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
