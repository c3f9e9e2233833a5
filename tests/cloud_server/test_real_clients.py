"""The clients of PyPI, unmodified, get from the test server what they get from Dagster Cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from builder.system import process
from tests.support.cloud import CloudServer
from tests.support.cloud.queries import HTTP, deploy, document, poll, presigned

DOWNLOAD = """
import os, sys, boto3
from dagster_cloud.pex.grpc.server.registry import _download_from_s3
_download_from_s3("deps-1.pex", sys.argv[1])
os.environ["AWS_SECRET_ACCESS_KEY"] = "another"
boto3.DEFAULT_SESSION = None
try:
    _download_from_s3("deps-1.pex", sys.argv[1])
except Exception as error:
    print(error)
"""


class Commands:
    """The commands of PyPI's packages in a directory of their own."""

    def __init__(self, directory: Path, cloud: CloudServer) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        self.project = directory / "project"
        self.project.mkdir()
        self.env = process.clean_environment(
            {
                **cloud.environ(),
                "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
                "HOME": str(self.home),
                "PEX_ROOT": str(directory / "pex-root"),
                "GIT_CONFIG_GLOBAL": os.devnull,
            }
        )

    def run(self, *words: str, **env: str) -> str:
        finished = subprocess.run(
            words,
            cwd=self.project,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        return finished.stdout


@pytest.fixture
def commands(tmp_path: Path, cloud: CloudServer) -> Commands:
    return Commands(tmp_path, cloud)


def requirements_hash(project: Path) -> str:
    from dagster_cloud_cli.core.pex_builder import deps  # noqa: PLC0415
    from packaging.version import Version  # noqa: PLC0415

    return deps.get_deps_requirements(str(project), Version("3.11"))[1].hash


def test_real_serverless_deploy_succeeds(cloud: CloudServer, commands: Commands) -> None:
    (commands.project / "requirements.txt").write_text("dagster\ndagster-cloud\n")
    (commands.project / "sales.py").write_text("import dagster\n")
    identity = requirements_hash(commands.project)
    # The tags `main` and `new` in base64.
    record = {"deps_pex_name": "deps-0123.pex", "dagster_version": "1.13.27"}
    cloud.storage.put_object("deps-0123.pex", b"as if it were one")
    cloud.storage.put_object(f"requirements-{identity}-bWFpbg==.txt", json.dumps(record).encode())
    deploy(cloud, document(tag="files=deps-0.pex:source-0.pex"))
    poll(cloud)

    command = ["dagster-cloud", "serverless", "deploy-python-executable", ".", "--url", f"{cloud.url}/prod"]
    command += ["--location-name", "sales", "--module-name", "sales", "--python-version", "3.11"]
    command += ["--build-method", "local", "--deps-cache-from", "main", "--deps-cache-to", "new"]
    output = commands.run(*command, "--commit-hash", "abc", "--git-url", "https://example.com/abc")

    assert "Found published deps.pex deps-0123.pex" in output
    assert "Agent synced changes to sales" in output
    (source,) = (name for name in cloud.objects() if name.startswith("source-"))
    expected = document(tag=f"files=deps-0123.pex:{source}")
    assert cloud.locations("prod")["sales"] == {
        **expected,
        "git": {"commit_hash": "abc", "url": "https://example.com/abc"},
    }
    (commands.home / source).write_bytes(cloud.objects()[source])
    with zipfile.ZipFile(commands.home / source) as archive:
        assert "working_directory/root/sales.py" in archive.namelist()
    assert json.loads(cloud.objects()[f"requirements-{identity}-bmV3.txt"]) == record
    assert cloud.uploads() == [
        (source, len(cloud.objects()[source])),
        (f"requirements-{identity}-bmV3.txt", len(json.dumps(record))),
    ]
    asked = cloud.operations()[cloud.operations().index("serverless") :]
    assert asked == [
        "serverless",
        "generateServerlessPexUrl",
        "generateServerlessPexUrl",
        "generateServerlessPexUrl",
        "addOrUpdateLocationFromDocument",
        "agents",
        "workspaceOrError",
        "markCliEvent",
    ]
    assert not any("Dagster-Cloud-Api-Token" in each.headers for each in cloud.requests if each.name)
    assert cloud.leaks([output]) == []


def test_real_ci_commands_make_a_branch_deployment_and_deploy_to_it(
    cloud: CloudServer, commands: Commands, tmp_path: Path
) -> None:
    locations = [{"location_name": name, "code_source": {"module_name": name}} for name in ("sales", "stock")]
    image = {"build": {"directory": ".", "registry": "registry.example/sales"}}
    workspace = {"locations": [{**location, **image} for location in locations]}
    (commands.project / "dagster_cloud.yaml").write_text(json.dumps(workspace))
    commands.run("git", "init", "-q", "-b", "feature")
    commands.run("git", "add", ".")
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    commands.run("git", *author, "commit", "-q", "-m", "Add locations", GIT_COMMITTER_DATE="1700000000 +0000")
    head = commands.run("git", "rev-parse", "HEAD").strip()
    pull_request = {
        "head": {"sha": head, "ref": "feature"},
        "html_url": "https://github.com/hooli/data-eng/pull/7",
        "number": 7,
        "state": "open",
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"full_name": "hooli/data-eng"}, "pull_request": pull_request}))
    action = {
        "GITHUB_ACTION": "deploy",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "0" * 40,
        "GITHUB_REPOSITORY": "hooli/data-eng",
        "GITHUB_RUN_ID": "1",
        "DAGSTER_BUILD_STATEDIR": str(tmp_path / "state"),
    }
    cloud.organization.polls_to_load = 0

    # It insists on an organization, and then takes the URL.
    commands.run("dagster-cloud", "ci", "init", **action, DAGSTER_CLOUD_ORGANIZATION="hooli")
    (name,) = set(cloud.deployments) - {"prod"}
    branch = cloud.deployments[name]
    assert branch.branch == {
        "repoName": "hooli/data-eng",
        "branchName": "feature",
        "branchUrl": "https://github.com/hooli/data-eng/tree/feature",
        "pullRequestUrl": "https://github.com/hooli/data-eng/pull/7",
        "pullRequestStatus": "OPEN",
        "pullRequestNumber": "7",
    }
    assert branch.commit is not None
    assert (branch.commit["commitHash"], branch.commit["timestamp"]) == (head, 1700000000.0)
    assert (branch.commit["authorName"], branch.commit["commitMessage"]) == ("Ada", "Add locations")

    build = ["dagster-cloud", "ci", "set-build-output", "--image-tag", "1"]
    commands.run(*build, "--location-name", "sales", "--location-name", "stock", **action)
    commands.run("dagster-cloud", "ci", "deploy", **action)
    assert sorted(cloud.locations(name)) == ["sales", "stock"]
    assert cloud.locations(name)["sales"]["image"] == "registry.example/sales:1"
    assert cloud.locations("prod") == {}
    assert cloud.operations().count("deployLocations") == 1

    answer = commands.run("dagster-cloud", "ci", "branch-deployment", ".", "--mark-closed", **action)
    assert answer.strip().splitlines()[-1] == name
    assert (cloud.deployments[name].branch or {})["pullRequestStatus"] == "CLOSED"


def test_real_receiving_server_downloads_from_the_storage(
    cloud: CloudServer, commands: Commands, tmp_path: Path
) -> None:
    content = os.urandom(10_000_000)  # more than one part: it is fetched in ranges
    (url,) = presigned(cloud, "PUT", "deps-1.pex")
    assert HTTP.put(url, content=content).status_code == 200
    target = tmp_path / "deps-1.pex"
    output = commands.run(sys.executable, "-c", DOWNLOAD, str(target), **cloud.storage_environ())
    assert target.read_bytes() == content
    assert {each.status for each in cloud.requests if each.method == "GET"} == {206}
    assert "An error occurred (403)" in output
