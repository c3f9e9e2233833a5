"""Container images of packages, pushed to a real registry: tags, what lies beside them, and logins."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from builder.errors import PublishError
from builder.oci.layout import blob_path, read_layout
from builder.oci.registry import Registry
from builder.packages.wheelhouse import read_wheelhouse
from builder.resolution.transport import Credentials
from builder.system import storage
from tests.support.container_registry import PASSWORD, USER
from tests.support.image_yard import TAG, VERSION, Yard


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
