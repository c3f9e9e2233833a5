"""Deploying images: to a deployment that takes nothing else, and to a registry of one's own."""

from __future__ import annotations

import io
import json
import random
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from builder.building.image import BuiltImage, with_state
from builder.oci.filesystem import open_layer
from builder.oci.image import ImageLayer
from builder.oci.layout import INDEX, OCI, canonical, read_descriptor, read_layout
from builder.verification.unpack_image import other_platforms, read_image_files
from tests.support.base_images import SLIM, layer, put, runs_only_images
from tests.support.cloud import faults
from tests.support.cloud.deployments import Deployment, LocationRecord
from tests.support.commands import Ran, write_tree
from tests.support.damage import damaged, kinds_of_files
from tests.support.deploying import Deploying, deploying
from tests.support.faulty_registry import (
    PASSWORD,
    Corrupt,
    Damage,
    FaultyRegistry,
    Forget,
    Status,
    serving_faulty_registry,
)
from tests.support.repositories import Repository
from tests.support.wheels import make_wheel

SITE = "usr/local/lib/python3.11/site-packages"
APP = "opt/dagster/app"


class Images:
    """A deployment on the platform that runs images only, and its registry with a base image."""

    def __init__(self, here: Deploying, registry: FaultyRegistry) -> None:
        self.here, self.registry = here, registry
        here.place.environment |= runs_only_images(here.cloud, registry, here.place.root / ".docker")

    def deploy(self, *options: str) -> Ran:
        return self.here.deploy(*options)

    def document(self, name: str = "sales", deployment: str = "prod") -> dict[str, Any]:
        return dict(self.here.cloud.locations(deployment)[name])

    def manifest(self, reference: str) -> dict[str, Any]:
        """The manifest of a reference by digest, which must be in the registry."""
        name, _, digest = reference.partition("@")
        content, _ = self.registry.manifests[name.removeprefix(f"{self.registry.host}/")][digest]
        document: dict[str, Any] = json.loads(content)
        return document

    def config(self, reference: str) -> dict[str, Any]:
        repository = reference.partition("@")[0].removeprefix(f"{self.registry.host}/")
        digest = self.manifest(reference)["config"]["digest"]
        document: dict[str, Any] = json.loads(self.registry.blobs[repository][digest])
        return document

    def files(self, name: str = "sales") -> dict[str, tarfile.TarInfo]:
        """What the image in OUT_DIR has upon its base, by name."""
        found: dict[str, tarfile.TarInfo] = {}
        for entry in self.here.built(name)["image"]["layers"]:
            blobs = self.here.place.out / self.here.built(name)["image"]["layout"] / "blobs" / "sha256"
            with open_layer(blobs / entry["digest"].removeprefix("sha256:")) as archive:
                found |= {member.name: member for member in archive}
        return found

    def content(self, file: str, name: str = "sales") -> bytes | None:
        """Of a file of the source layer in OUT_DIR."""
        image = self.here.built(name)["image"]
        (source,) = (entry["digest"] for entry in image["layers"] if entry["title"] == "source")
        with open_layer(
            self.here.place.out / image["layout"] / "blobs/sha256" / source.removeprefix("sha256:")
        ) as archive:
            for member in archive:
                if member.name == file and (stream := archive.extractfile(member)):
                    return stream.read()
        return None


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    with deploying(tmp_path) as here, serving_faulty_registry() as registry:
        here.locations("sales")
        yield Images(here, registry)
        files = [path.read_bytes() for path in here.place.out.rglob("*") if path.is_file()]
        assert not [text for text in [*(said.encode() for said in here.said), *files] if PASSWORD.encode() in text]


def test_where_only_images_run_an_image_is_deployed_by_digest(images: Images) -> None:
    ran = images.deploy("--upload").succeeded()
    document = images.document()
    reference = document["image"]
    assert reference.startswith(f"{images.registry.host}/acme/prefix/sales@sha256:")
    assert reference.endswith(images.here.built()["image"]["digest"])
    assert "pex_metadata" not in document
    assert "pex_bundle" not in document
    assert document["git"]["commit_hash"] == "abc1234"
    assert "location `sales` is loaded" in ran.stderr
    # Nothing is asked of the PEX registry, and nothing sent there.
    assert not images.here.cloud.objects()
    assert not any(path.name.endswith(".pex") for path in images.here.place.out.iterdir())
    tags = images.registry.tags("acme/prefix/sales")
    assert tags == {f"sales-{reference.rpartition(':')[2][:12]}"}
    # One login for the base image, one for all that is pushed.
    scopes = ["repository:library/python:pull", "repository:acme/prefix/sales:pull,push"]
    assert images.registry.logins == [[scope] for scope in scopes]


def test_the_image_runs_the_code_as_the_platform_starts_it(images: Images) -> None:
    write_tree(images.here.place.root, {"dbt/models/a.sql": "select 1\n", "shared/rates.csv": "1\n"})
    project = images.here.place.root / "project sales"
    code = "from pathlib import Path\nTOP = Path(__file__).resolve().parent.parent\n"
    code += 'MODELS = TOP / "dbt"\nRATES = TOP.joinpath("shared", "rates.csv")\n'
    write_tree(project, {"paths.py": code, "dg.toml": '[project]\nroot_module = "app"\n'})
    ran = images.deploy("--include", "../dbt").succeeded()
    (warning,) = (line for line in ran.stderr.splitlines() if "outside the build directory" in line)
    assert "paths.py:4" in warning
    assert 'include = ["../shared/rates.csv"]' in warning
    config = images.config(images.document()["image"])
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    run = config["config"]
    assert run["WorkingDir"] == "/opt/dagster/app"
    assert run["Cmd"] == ["dagster", "api", "grpc"]
    assert "Entrypoint" not in run
    # Serverless starts Dagster's own images as root.
    assert "User" not in run
    assert run["Labels"]["org.opencontainers.image.title"] == "sales"
    assert run["Labels"]["builder.dagster-version"] == "1.13.27"
    files = images.files()
    assert {
        f"{APP}/requirements.txt",
        f"{SITE}/dagster/__init__.py",
        f"{SITE}/dagster_cloud/__init__.py",
        # Where `..` leads from the working directory.
        "opt/dagster/dbt/models/a.sql",
    } <= files.keys()
    assert "opt/dagster/shared/rates.csv" not in files
    # There the directory is called otherwise.
    assert (
        images.content(f"{APP}/dg.toml")
        == b'[project]\ncode_location_name = "project sales"\nroot_module = "app"\n'
    )


def test_a_change_of_code_sends_the_source_layer_the_config_and_the_manifest(images: Images) -> None:
    images.deploy().succeeded()
    repository = images.registry.blobs["acme/prefix/sales"]
    before, received = set(repository), images.registry.received
    images.here.change()
    images.deploy().succeeded()
    new = set(repository) - before
    assert len(new) == 2
    (source,) = [entry["digest"] for entry in images.here.built()["image"]["layers"] if entry["title"] == "source"]
    assert source in new
    assert images.registry.received - received < 20_000


def test_what_is_there_is_not_sent_again_and_an_unchanged_image_is_the_same(images: Images) -> None:
    images.deploy().succeeded()
    first = images.document()["image"]
    # From a warm cache, and from an empty one.
    for cache in ({}, {"BUILDER_CACHE_DIR": str(images.here.place.root / "another cache")}):
        ran = images.here.deploy(env=cache).succeeded()
        assert images.document()["image"] == first
        assert ": 0 B sent" in ran.stderr


def test_twenty_locations_with_one_lock_push_their_dependencies_once(images: Images) -> None:
    names = [*(f"sales-{number}" for number in range(19)), "Über & Co"]
    images.here.locations(*names)
    images.deploy().succeeded()
    layers = {name: {entry["digest"] for entry in images.here.built(name)["image"]["layers"]} for name in names}
    shared = set.intersection(*layers.values())
    assert shared
    for digest in shared:
        uploads = [path for method, path in images.registry.requests if method == "PUT" and digest[7:] in path]
        assert len(uploads) == 1
        mounted = [path for method, path in images.registry.requests if f"mount=sha256%3A{digest[7:]}" in path]
        assert len(mounted) == 19
    references = {name: images.document(name)["image"] for name in names}
    assert f"{images.registry.host}/acme/prefix/ber-co-" in references["Über & Co"]
    assert len(set(references.values())) == 20


def test_one_that_fails_does_not_stop_the_others(images: Images) -> None:
    images.here.locations("sales", "stock")
    (images.here.place.root / "project stock" / "requirements.txt").write_text("dagster\nno-such-thing\n")
    images.here.run_before("stock")
    ran = images.deploy()
    assert ran.code == 1
    assert "no-such-thing" in ran.stderr
    assert images.document("sales")["image"]
    assert "image" not in images.document("stock")


def test_of_an_image_that_does_not_load_only_its_dependencies_are_sent(images: Images) -> None:
    ran = images.deploy("--verify")
    assert "dagster" in ran.failed()
    layers = {entry["digest"]: entry["title"] for entry in images.here.built()["image"]["layers"]}
    sent = images.registry.blobs["acme/prefix/sales"].keys()
    assert {layers[digest] for digest in layers.keys() - sent} == {"source"}
    assert layers.keys() & sent
    assert "acme/prefix/sales" not in images.registry.manifests
    assert "sales" not in images.here.cloud.locations("prod")


def test_scripts_that_only_docker_can_run_are_refused_and_a_dockerfile_is_named(images: Images) -> None:
    project = images.here.place.root / "project sales"
    scripts = [project / f"dagster_cloud_{when}_install.sh" for when in ("pre", "post")]
    for script in scripts:
        script.write_text("#!/bin/sh\n")
    (project / "Dockerfile").write_text("FROM python:3.11-slim\n")
    images.here.run_before("sales")
    for options in ((), ("--plan",)):
        error = images.deploy(*options).failed()
        assert "`dagster_cloud_pre_install.sh` and `dagster_cloud_post_install.sh` cannot be run" in error
        assert "project sales/dagster_cloud_pre_install.sh" in error
        assert "--base-image" in error
        assert "image" not in images.document()
    for script in scripts:
        script.unlink()
    ran = images.deploy().succeeded()
    assert f"warning: {project.name}/Dockerfile: this Dockerfile is not read" in ran.stderr


def test_no_answer_about_the_registry_is_never_taken_for_pex_files(images: Images) -> None:
    images.here.run_before("sales")
    images.here.cloud.inject("serverless", faults.Status(403))
    ran = images.deploy()
    assert ran.code == 1
    assert not images.here.cloud.objects()
    assert not images.registry.manifests.get("acme/prefix/sales")
    assert not images.here.place.artefacts()


def test_a_deployment_without_a_registry_yet_is_told(images: Images) -> None:
    images.here.cloud.api.registry_token = None
    error = images.deploy().failed()
    assert "the deployment has no container registry yet" in error
    assert not images.here.place.artefacts()


def test_pex_files_are_refused_where_only_images_run(images: Images) -> None:
    error = images.deploy("--format", "pex").failed()
    assert "run images only, not PEX files" in error
    assert "--format pex" in error


def test_a_base_with_an_entry_point_a_user_and_an_environment_keeps_the_last_two(images: Images) -> None:
    """As images of a company have it: a wrapper that is run first, a user without privileges, and /opt/venv."""
    files: dict[str, bytes | str] = {
        "etc/passwd": SLIM["etc/passwd"] + b"app:x:1001:1002::/home/app:/bin/sh\n",  # type: ignore[operator]
        "opt/venv/bin/python": "/usr/local/bin/python3.11",
        "opt/venv/pyvenv.cfg": b"home = /usr/local/bin\n",
    }
    config = {
        "Env": ["PATH=/opt/venv/bin:/usr/local/bin"],
        "Entrypoint": ["/wrapper.sh", "--"],
        "User": "app",
        "WorkingDir": "/srv",
    }
    put(images.registry, layer(SLIM), layer(files), config=config)
    ran = images.deploy().succeeded()
    assert "3.11-slim` is left out: `/wrapper.sh --` is not run" in ran.stderr
    run = images.config(images.document()["image"])["config"]
    assert "Entrypoint" not in run
    assert (run["User"], run["WorkingDir"]) == ("app", "/opt/dagster/app")
    found = images.files()
    assert (found[f"{APP}/answer.py"].uid, found[f"{APP}/answer.py"].gid) == (1001, 1002)
    assert "opt/venv/lib/python3.11/site-packages/dagster/__init__.py" in found


def test_a_base_image_of_ones_own_is_refused_where_it_is_not_allowed(images: Images) -> None:
    images.here.cloud.api.registry_allows_custom_base = False
    error = images.deploy().failed()
    assert "takes no images upon base images of your own" in error


@pytest.mark.parametrize("option", [("--python-version", "3.12")])
def test_a_base_without_the_python_is_an_error_before_anything_is_built(
    images: Images, option: tuple[str, ...]
) -> None:
    error = images.deploy(*option).failed()
    assert "has Python 3.11, not 3.12" in error
    assert "--python-version 3.11" in error
    assert images.here.place.artefacts() == ["build.json"]


@pytest.mark.parametrize(
    "method, part, fault, words",
    [
        ("PUT", "/manifests/", Status(400, "MANIFEST_INVALID"), "refuses the manifest"),
        ("PUT", "/blobs/uploads/", Corrupt(), "could not be pushed"),
        ("PUT", "/manifests/", Forget(), "which was pushed as"),
        ("PUT", "/blobs/uploads/", Damage(), "than it was sent, twice"),
        ("PUT", "/manifests/", Damage(), "which was pushed as"),
        ("POST", "/blobs/uploads/", Status(405, "UNSUPPORTED"), "read-only"),
        ("POST", "/blobs/uploads/", Status(403, "DENIED"), "refuses to let"),
        ("GET", "/token", Status(401, "UNAUTHORIZED"), "refuses to let"),
    ],
)
def test_what_cannot_be_pushed_leaves_the_location_as_it_was(
    images: Images, method: str, part: str, fault: Status | Corrupt | Forget | Damage, words: str
) -> None:
    images.here.run_before("sales")
    # The first login is that for the base image.
    images.registry.inject(method, part, fault, after=int(part == "/token"))
    ran = images.deploy()
    error = ran.failed()
    assert words in error
    assert "hint: " in error
    images.here.assert_untouched()
    assert not images.registry.tags("acme/prefix/sales")
    if isinstance(fault, Damage):
        images.registry.heal()
        images.deploy().succeeded()
        images.registry.assert_whole("acme/prefix/sales")


def test_what_is_there_damaged_is_sent_again(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    # A layer that is too large to be read back where nothing is wrong.
    content = random.Random(1).randbytes(1_200_000)  # noqa: S311  (not for secrets)
    (images.here.place.root / "project sales" / "large").write_bytes(content)
    images.deploy().succeeded()
    blobs = images.registry.blobs["acme/prefix/sales"]
    for digest in blobs:
        blobs[digest] = damaged(blobs[digest])
    organization, updates = images.here.cloud.organization, []
    deploy = organization.deploy

    def load(deployment: Deployment, document: Mapping[str, Any]) -> LocationRecord:
        updates.append(document["image"])
        organization.load_errors["sales"] = faults.PythonError("Failed to pull image: wrong diff id\n")
        if len(updates) > 1:
            organization.load_errors.clear()
        return deploy(deployment, document)

    monkeypatch.setattr(organization, "deploy", load)
    ran = images.deploy().succeeded()
    assert ran.stderr.count("was damaged; it was sent again") == 1
    assert len(updates) == 2
    images.registry.assert_whole("acme/prefix/sales")


def test_a_flipped_byte_in_the_cache_makes_no_other_image(images: Images) -> None:
    images.deploy().succeeded()
    before = images.document()["image"]
    kinds = kinds_of_files(images.here.place.cache)
    for kind, path in kinds.items():
        if kind[0] in {"layers", "base-images"}:
            path.write_bytes(damaged(path.read_bytes()))
            images.deploy().succeeded()
            assert images.document()["image"] == before, kind
    assert {kind for kind in kinds if kind[0] == "layers"} == {("layers", ".gz"), ("layers", ".json")}
    assert ("base-images", ".json") in kinds
    images.registry.assert_whole("acme/prefix/sales")


def test_what_the_platform_says_of_an_image_that_it_cannot_pull_is_told(images: Images) -> None:
    said = "Failed to pull image: unauthorized"
    images.here.cloud.organization.load_errors["sales"] = faults.PythonError(said, ())
    ran = images.deploy()
    assert ran.code == 1
    assert said in ran.stderr


def test_a_plan_says_which_layers_are_there_and_does_nothing(images: Images) -> None:
    first = images.deploy("--plan").succeeded()
    assert "2 distributions: built, 2 to fetch" in " ".join(first.stdout.split())
    assert not images.registry.blobs.get("acme/prefix/sales")
    images.deploy().succeeded()
    received = images.registry.received
    again = " ".join(images.deploy("--plan").succeeded().stdout.split())
    assert re.search(r"base image [\d.]+ \w+ 1 layer there", again), again
    assert re.search(r"1 dependency layer [\d.]+ kB 2 distributions: 1 layer there", again), again
    assert "source layer" in again
    assert "location updated" in again
    make_wheel(images.here.place.index.directory, {"other/__init__.py": ""}, name="other")
    (images.here.place.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\nother\n")
    images.here.place.run(
        "image", images.here.place.root / "dagster_cloud.yaml", images.here.place.out
    ).succeeded()
    planned = " ".join(images.deploy("--plan").succeeded().stdout.split())
    assert "3 distributions: 1 layer there, 1 layer sent (" in planned
    # In a registry of its own nothing is there yet.
    workspace = images.here.place.root / "dagster_cloud.yaml"
    own = f"directory: project sales\n      registry: {images.registry.host}/own/sales"
    workspace.write_text(workspace.read_text().replace("directory: project sales", own))
    base = f"--base-image={images.registry.host}/library/python:3.11-slim"
    elsewhere = " ".join(images.deploy("--plan", base).succeeded().stdout.split())
    assert re.search(r"base image (\S+ \w+) 1 layer sent \(\1\)", elsewhere), elsewhere
    assert images.registry.received - received < 1000


def test_the_older_registry_has_one_repository_for_all(images: Images) -> None:
    images.here.cloud.api.registry_is_harbor = False
    images.deploy("--format", "image").succeeded()
    assert images.document()["image"].startswith(f"{images.registry.host}/acme/prefix@sha256:")


def test_a_location_with_a_registry_gets_an_image_there_and_the_others_pex_files(images: Images) -> None:
    images.here.cloud.api.registry_is_harbor = False
    images.here.locations("sales", "stock")
    path = images.here.place.root / "dagster_cloud.yaml"
    text = path.read_text().replace(
        "directory: project stock", f"directory: project stock\n      registry: {images.registry.host}/own/stock"
    )
    path.write_text(text)
    del images.here.place.environment["SERVERLESS_BASE_IMAGE"]
    images.deploy(f"--base-image={images.registry.host}/library/python:3.11-slim").succeeded()
    reference = images.document("stock")["image"]
    assert reference.startswith(f"{images.registry.host}/own/stock@sha256:")
    assert images.document("sales")["pex_metadata"]["pex_tag"].startswith("files=deps-")
    run = images.config(reference)["config"]
    # There is no reason to be root where the agents are one's own.
    assert run["User"] == "10001:10001"
    assert "HOME=/home/dagster" in run["Env"]
    files = images.files("stock")
    assert (files[f"{APP}/requirements.txt"].uid, files[f"{APP}/requirements.txt"].gid) == (10001, 10001)
    assert files[f"{SITE}/dagster/__init__.py"].uid == 0
    assert files["etc/passwd"].size > 0
    # On the platform that runs images only the others get theirs in the deployment's registry.
    images.here.cloud.api.registry_is_harbor = True
    options = ("--base-image", f"{images.registry.host}/library/python:3.11-slim")
    images.deploy(*options).succeeded()
    assert images.document("stock")["image"] == reference
    assert images.document("sales")["image"].startswith(f"{images.registry.host}/acme/prefix/sales@sha256:")
    # A deployment of agents of one's own has none, and is not asked for one.
    images.here.cloud.api.registry_token = None
    images.here.change("stock")
    images.deploy("--location", "stock", *options).succeeded()
    assert images.document("stock")["image"] != reference
    assert (
        "the deployment has no container registry yet" in images.deploy("--location", "sales", *options).failed()
    )


def test_of_two_architectures_the_location_gets_one_index(images: Images) -> None:
    here, registry = images.here, images.registry
    bases = [put(registry, layer(SLIM), tag="3.11-slim", architecture=name) for name in ("amd64", "arm64")]
    entries = [
        {"mediaType": OCI.manifest, "digest": digest, "size": 1, "platform": {"os": "linux", "architecture": name}}
        for digest, name in zip(bases, ("amd64", "arm64"), strict=True)
    ]
    content = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    registry.manifests["library/python"]["3.11-slim"] = content, INDEX
    for machine in ("x86_64", "aarch64"):
        tag = f"cp311-cp311-manylinux_2_17_{machine}"
        make_wheel(here.place.index.directory, {f"native/{machine}.py": ""}, name="native", tag=tag)
    (here.place.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\nnative\n")
    both = "--platform=linux/amd64,linux/arm64"
    assert "Dagster Cloud's own machines" in images.deploy(both).failed(2)
    assert "PEX files, which are for one platform" in images.deploy(both, "--format=pex").failed(2)
    assert "`linux/s390x` is not a platform" in images.deploy("--platform=linux/s390x").failed(2)
    path = here.place.root / "dagster_cloud.yaml"
    own = f"directory: project sales\n      registry: {registry.host}/own/sales"
    path.write_text(path.read_text().replace("directory: project sales", own))
    base = f"--base-image={registry.host}/library/python:3.11-slim"
    planned = images.deploy(both, base, "--plan").succeeded().stdout
    assert "linux x86_64" in planned
    assert "linux aarch64" in planned
    images.deploy(both, base).succeeded()
    index = images.manifest(images.document()["image"])
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert here.built()["image"]["platforms"] == ["linux/amd64", "linux/arm64"]
    for entry, digest, machine in zip(index["manifests"], bases, ("x86_64", "aarch64"), strict=True):
        reference = f"{registry.host}/own/sales@{entry['digest']}"
        config = images.config(reference)
        assert config["architecture"] == entry["platform"]["architecture"]
        assert config["config"]["Labels"]["org.opencontainers.image.base.digest"] == digest
        names = _names(images, [layer["digest"] for layer in images.manifest(reference)["layers"]])
        assert [name for name in names if "native/" in name] == [f"{SITE}/native/{machine}.py"]
    assert other_platforms(here.place.out / "image-sales") == ("linux/arm64",)
    assert read_image_files(here.place.out / "image-sales").deps
    _assert_both_get_a_state(images)


def _assert_both_get_a_state(images: Images) -> None:
    place, built = images.here.place, images.here.built()["image"]
    layout = read_layout(place.out / "image-sales")
    layers = tuple(ImageLayer(path=place.out, **layer) for layer in built["layers"])
    changed = with_state(BuiltImage("sales", layout, layers, ""), {"defs/state": b"[]"}, place.root / "scratch")
    again = with_state(changed, {"defs/state": b"[]"}, place.root / "scratch")
    assert again == changed
    before, after = layout.manifests(), changed.layout.manifests()
    assert [manifest.platform for manifest in after] == built["platforms"]
    for old, new in zip(before, after, strict=True):
        was, document = layout.document(old), changed.layout.document(new)
        assert document["layers"][:-1] == was["layers"]
        config = changed.layout.document(read_descriptor(document["config"]))
        assert config["architecture"] == new.platform.removeprefix("linux/")
        assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == len(document["layers"])
        with open_layer(changed.layout.whole_blob(document["layers"][-1]["digest"])) as archive:
            # The state belongs to whom the code belongs, whose directory stays theirs.
            assert [(member.name, member.uid) for member in archive] == [
                (APP, 10001),
                (f"{APP}/defs", 10001),
                (f"{APP}/defs/state", 10001),
            ]
    assert read_image_files(changed.layout.path).deps
    assert len(read_image_files(changed.layout.path).source) == 2


def _names(images: Images, digests: Sequence[str]) -> list[str]:
    found: list[str] = []
    for digest in digests:
        with tarfile.open(fileobj=io.BytesIO(images.registry.blobs["own/sales"][digest])) as archive:
            found += archive.getnames()
    return found


def test_builder_image_pushes_to_ones_own_registry_without_dagster_cloud(images: Images) -> None:
    place = images.here.place
    path = place.root / "dagster_cloud.yaml"
    own = f"directory: project sales\n      registry: {images.registry.host}/own/sales"
    path.write_text(path.read_text().replace("directory: project sales", own))
    repository = Repository(place.root)
    repository.git("init", "-q", "-b", "main")
    repository.git("remote", "add", "origin", "git@github.com:acme/etl.git")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "first")
    ran = place.run("image", path, place.out).succeeded()
    assert "own/sales" not in images.registry.blobs
    assert "image-sales" in ran.stdout
    (place.out / "image-sales" / "index.json").read_text()
    place.run("image", path, place.out, "--upload", "--no-verify").succeeded()
    assert images.registry.tags("own/sales")
    digest = images.here.built()["image"]["digest"]
    labels = images.config(f"{images.registry.host}/own/sales@{digest}")["config"]["Labels"]
    assert labels["org.opencontainers.image.source"] == "https://github.com/acme/etl"
    assert labels["org.opencontainers.image.revision"] == repository.git("rev-parse", "HEAD").strip()


def test_the_same_sources_are_the_same_image_on_another_machine(images: Images, tmp_path: Path) -> None:
    place = images.here.place
    digests = []
    for number in range(2):
        out = tmp_path / f"out {number}"
        env = {"BUILDER_CACHE_DIR": str(tmp_path / f"cache {number}")}
        place.run("image", place.root / "dagster_cloud.yaml", out, env=env).succeeded()
        report = json.loads((out / "build.json").read_text())
        digests.append(report["locations"][0]["image"]["digest"])
    assert digests[0] == digests[1]


def test_local_packages_are_installed_and_replace_what_the_base_has(images: Images) -> None:
    make_wheel(images.here.place.index.directory, {"pip/__init__.py": "new = 1\n"}, name="pip", version="99.0")
    project = images.here.place.root / "project sales"
    (project / "requirements.txt").write_text("dagster\ndagster-cloud\npip==99.0\n")
    images.deploy().succeeded()
    files = images.files()
    assert f"{SITE}/pip-99.0.dist-info/RECORD" in files
    assert f"{SITE}/pip-24.0.dist-info/.wh.RECORD" in files
    assert f"{SITE}/pip/.wh.__init__.py" in files
    assert "usr/local/bin/.wh.pip" in files


def test_an_earlier_image_runs_again_if_it_is_there(images: Images) -> None:
    images.deploy().succeeded()
    first = images.document()["image"]
    images.here.change()
    images.deploy().succeeded()
    assert images.document()["image"] != first
    ran = images.here.place.run("rollback", "sales", env=images.here.cloud.environ()).succeeded()
    images.here.said.append(ran.stderr)
    assert images.document()["image"] == first
    name, _, digest = images.document()["image"].partition("@")
    images.deploy().succeeded()
    del images.registry.manifests[name.removeprefix(f"{images.registry.host}/")][digest]
    ran = images.here.place.run("rollback", "sales", env=images.here.cloud.environ())
    assert f"the registry no longer has `{first}`" in ran.failed()
    assert images.document()["image"] != first
