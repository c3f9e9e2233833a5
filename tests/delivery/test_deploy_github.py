"""Deploying from CI and from laptops: which deployment it is, and what people see of it."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.base_images import runs_only_images
from tests.support.cloud import faults
from tests.support.cloud.deployments import branch_deployment_name
from tests.support.cloud.github import GitHubServer
from tests.support.commands import Ran
from tests.support.deploying import OLD, Deploying, deploying
from tests.support.faulty_registry import serving_faulty_registry
from tests.support.repositories import Repository, pull_request_event, repository_event
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.slow

REPOSITORY = "acme/my.github.io"
BRANCH = "feature/größe#1"


@dataclass(slots=True)
class Actions:
    """A job of GitHub Actions with the workspace checked out."""

    here: Deploying
    github: GitHubServer
    repository: Repository
    commit: str

    @property
    def root(self) -> Path:
        return self.here.place.root

    def environ(self, event: object, name: str) -> dict[str, str]:
        path = self.root / "event.json"
        path.write_text(event if isinstance(event, str) else json.dumps(event), encoding="utf-8")
        for file in ("summary", "outputs"):
            (self.root / file).write_text("")
        return {
            **self.github.environ(),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_SHA": "e" * 40 if name == "pull_request" else self.commit,
            "GITHUB_REF": "refs/pull/12/merge" if name == "pull_request" else "refs/heads/main",
            "GITHUB_REF_NAME": "12/merge" if name == "pull_request" else "main",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_RUN_ID": "77",
            "GITHUB_WORKSPACE": str(self.root),
            "GITHUB_STEP_SUMMARY": str(self.root / "summary"),
            "GITHUB_OUTPUT": str(self.root / "outputs"),
        }

    def pull_request(self, *options: str, **changes: object) -> Ran:
        return self.here.deploy(
            *options, env=self.environ(pull_request_event(self.commit, **changes), "pull_request")
        )

    def push(self, *options: str) -> Ran:
        event = repository_event(ref="refs/heads/main", after=self.commit)
        return self.here.deploy(*options, env=self.environ(event, "push"))

    @property
    def summary(self) -> str:
        return (self.root / "summary").read_text(encoding="utf-8")

    def outputs(self) -> dict[str, str]:
        text = (self.root / "outputs").read_text(encoding="utf-8")
        return {name: value for name, _, value in re.findall(r"(?s)([\w-]+)<<(\S+)\n(.*?)\n\2\n", text)}

    def comments(self) -> list[str]:
        return [comment.body for comment in self.github.comments(12)]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Actions]:
    root = tmp_path / "größer als vorher"
    root.mkdir()
    with deploying(root) as here, GitHubServer(REPOSITORY, enterprise=True) as github:
        here.locations("sales")
        here.run_before("sales")
        repository = Repository(here.place.root)
        repository.git("init", "-q", "-b", "main")
        repository.git("remote", "add", "origin", f"{github.server_url}/{REPOSITORY}.git")
        yield Actions(here, github, repository, repository.commit())
        said = "".join(here.said)
        assert not [secret for secret in github.secrets() if secret in said]


def test_a_push_goes_to_production_and_says_so_everywhere(job: Actions) -> None:
    ran = job.push().succeeded()
    job.here.assert_whole()
    document = job.here.cloud.locations("prod")["sales"]
    assert document["git"]["commit_hash"] == job.commit
    assert document["git"]["url"] == f"{job.github.server_url}/{REPOSITORY}/tree/{job.commit}"
    assert document["git"]["repo_name"] == "my.github.io"
    outputs = job.outputs()
    assert outputs["deployment"] == "prod"
    assert outputs["pex-tag"] == job.here.runs()
    assert json.loads(Path(outputs["build-json"]).read_text())["locations"][0]["name"] == "sales"
    assert "<code>sales</code>" in job.summary
    assert "✅ ready" in job.summary
    assert f"{job.here.cloud.url}/prod/locations" in job.summary
    groups = re.findall(r"(?m)^::(group::\w+|endgroup::)$", ran.stderr)
    assert groups == [
        line for phase in ("Build", "Upload", "Update", "Load") for line in (f"group::{phase}", "endgroup::")
    ]


def test_a_pull_request_gets_its_branch_deployment_and_one_comment(job: Actions) -> None:
    ran = job.pull_request().succeeded()
    assert f"updated `sales` in the branch deployment of `{BRANCH}` (pull request #12)" in ran.stderr
    name = branch_deployment_name(REPOSITORY, BRANCH)
    assert job.here.runs(deployment=name) == job.here.built()["pex_tag"]
    assert job.here.runs() == OLD
    deployment = job.here.cloud.deployments[name]
    assert deployment.commit is not None
    assert deployment.commit["commitHash"] == job.commit
    assert deployment.commit["authorName"] == "Zoë Author"
    assert job.outputs()["deployment"] == name
    (comment,) = job.comments()
    assert "ready" in comment
    # The name is only a number: its address is linked, branch and pull request are named.
    assert f"/{name}/locations)" in comment
    assert f"<code>{name}" not in comment
    assert "größe" in comment
    assert "/pull/12)" in comment
    begun = [request.body["body"] for request in job.github.requests if request.method == "POST"]
    assert len(begun) == 1
    assert "building" in begun[0]
    job.here.change()
    job.pull_request().succeeded()
    assert len(job.comments()) == 1


def test_a_pull_request_where_only_images_run_gets_its_own_image_until_it_is_closed(job: Actions) -> None:
    cloud = job.here.cloud
    with serving_faulty_registry() as registry:
        job.here.place.environment |= runs_only_images(cloud, registry, job.root / ".docker")
        job.pull_request("--upload").succeeded()
        name = branch_deployment_name(REPOSITORY, BRANCH)
        reference = cloud.locations(name)["sales"]["image"]
        assert reference.startswith(f"{registry.host}/acme/prefix/sales@sha256:")
        assert reference.rpartition("@")[2] in registry.manifests["acme/prefix/sales"]
        assert job.here.runs() == OLD
        assert job.outputs()["deployment"] == name
        (comment,) = job.comments()
        assert "ready" in comment
        before = len(registry.requests)
        job.pull_request("--upload", state="closed", merged=True).succeeded()
        branch = cloud.deployments[name].branch
        assert branch is not None
        assert branch["pullRequestStatus"] == "MERGED"
        (comment,) = job.comments()
        assert "this pull request is merged" in comment
        assert len(registry.requests) == before


def test_a_failure_is_in_the_comment_the_summary_and_an_annotation(job: Actions) -> None:
    (job.root / "project sales" / "requirements.txt").write_text("dagster\ndagster-cloud\nno-such-thing\n")
    ran = job.pull_request()
    assert ran.code == 1
    (comment,) = job.comments()
    for text in (comment, job.summary):
        assert "failed" in text
        assert "no-such-thing" in text
        assert f"/blob/{job.commit}/project%20sales/requirements.txt#L3)" in text
        assert str(job.root) not in text
    assert job.outputs()["pex-tag"] == ""
    assert re.search(r"(?m)^::error .*file=project sales/requirements.txt,line=3", ran.stderr), ran.stderr
    assert "::endgroup::" not in ran.stderr[ran.stderr.index("error: ") :]
    assert branch_deployment_name(REPOSITORY, BRANCH) not in job.here.cloud.deployments


def test_a_load_error_is_in_the_comment(job: Actions) -> None:
    job.here.cloud.organization.load_errors["sales"] = faults.PythonError("ValueError: wrong number\n")
    assert job.pull_request().code == 1
    (comment,) = job.comments()
    assert "wrong number" in comment
    assert f"updated in the branch deployment of `{BRANCH}` (pull request #12), but does not load" in comment


@pytest.mark.parametrize("token", ["user:wrong", ""])
def test_a_token_that_does_not_do_is_in_the_comment(job: Actions, token: str) -> None:
    env = job.environ(pull_request_event(job.commit), "pull_request") | {"DAGSTER_CLOUD_API_TOKEN": token}
    assert job.here.deploy(env=env).code == 1
    (comment,) = job.comments()
    for text in (comment, job.summary):
        assert "❌ failed" in text
        assert "DAGSTER_CLOUD_API_TOKEN" in text


@pytest.mark.parametrize("options, kind", [((), "pull request"), ((), "push"), (("--plan",), "pull request")])
def test_an_error_before_the_workspace_is_read_is_told_too(
    job: Actions, options: tuple[str, ...], kind: str
) -> None:
    job.here.place.workspace("locations:\n  - location_name: sales\n   code_source: {}\n")
    error = (job.pull_request if kind == "pull request" else job.push)(*options).failed()
    assert "not valid YAML" in error
    assert "not valid YAML" in job.summary
    assert "cloud.yaml" in job.summary
    comments = job.comments()
    assert len(comments) == (kind == "pull request" and not options)
    assert all("❌ failed" in comment and "not valid YAML" in comment for comment in comments)
    # What comes next takes its place.
    job.here.locations("sales")
    job.pull_request().succeeded()
    (comment,) = job.comments()
    assert "✅ ready" in comment


def test_a_deployment_that_is_not_certain_is_told_too(job: Actions) -> None:
    event = {"pull_request": {"number": 12}}
    assert job.here.deploy(env=job.environ(event, "pull_request")).code == 1
    assert "❌ failed" in job.summary
    assert job.comments() == []


def test_a_base_that_is_not_there_is_told_before_anything_is_built(job: Actions) -> None:
    error = job.pull_request("--deployment=prd").failed()
    assert "there is no full deployment `prd`" in error
    assert "prod" in error
    assert not job.here.place.artefacts()


def test_a_defect_of_the_builder_is_no_success_in_the_comment(job: Actions) -> None:
    patch = "from builder.delivery import uploader\nuploader.Uploader.publish = None\n"
    (job.root / "shelf" / "sitecustomize.py").write_text(patch)
    env = job.environ(pull_request_event(job.commit), "pull_request")
    path = os.pathsep.join([str(job.root / "shelf"), job.here.place.environment["PYTHONPATH"]])
    assert "the builder itself failed" in job.here.deploy(env={**env, "PYTHONPATH": path}).failed()
    (comment,) = job.comments()
    for text in (comment, job.summary):
        assert "❌ failed" in text
        assert "the builder itself failed" in text


def test_a_run_that_is_cancelled_does_not_leave_the_comment_at_building(job: Actions) -> None:
    job.here.cloud.inject("PUT", faults.Hang())
    running = job.here.start(env=job.environ(pull_request_event(job.commit), "pull_request"))
    job.here.cloud.wait_until_hanging()
    running.send(signal.SIGINT)
    assert job.here.finish(running).code == 128 + signal.SIGINT
    (comment,) = job.comments()
    assert "stopped" in comment
    assert "building" not in comment


def test_a_run_that_is_cancelled_while_it_begins_to_comment_ends_that_too(job: Actions) -> None:
    job.github.inject("POST", faults.Hang(), times=1)
    running = job.here.start(env=job.environ(pull_request_event(job.commit), "pull_request"))
    job.github.wait_until_hanging()
    running.send(signal.SIGTERM)
    assert job.here.finish(running).code == 128 + signal.SIGTERM
    (comment,) = job.comments()
    assert "stopped" in comment


@pytest.mark.parametrize("status", ["CLOSED", "MERGED"])
def test_a_pull_request_that_is_no_more_is_only_marked_so(job: Actions, status: str) -> None:
    ran = job.pull_request(state="closed", merged=status == "MERGED").succeeded()
    assert re.search(
        rf"the branch deployment of `[^`]+` \(pull request #\d+\) is set to {status.lower()}", ran.stderr
    )
    deployment = job.here.cloud.deployments[branch_deployment_name(REPOSITORY, BRANCH)]
    assert deployment.branch is not None
    assert deployment.branch["pullRequestStatus"] == status
    (comment,) = job.comments()
    for text in (comment, job.summary):
        assert f"this pull request is {status.lower()}" in text
        assert "größe" in text
    assert not job.here.place.artefacts()
    assert job.here.runs() == OLD


@pytest.mark.parametrize("event", ["{", "[]", '{"pull_request": {}}'])
def test_a_pull_request_that_cannot_be_read_never_ends_in_production(job: Actions, event: str) -> None:
    ran = job.here.deploy(env=job.environ(event, "pull_request"))
    error = ran.failed()
    assert "--code-location-details" in error
    assert job.here.runs() == OLD
    assert "deployLocations" not in job.here.cloud.operations()


def test_a_pull_request_is_found_although_git_fails(job: Actions) -> None:
    os.rename(job.root / ".git", job.root / "no git")  # noqa: PTH104  (as it reads)
    job.pull_request().succeeded()
    assert job.here.runs(deployment=branch_deployment_name(REPOSITORY, BRANCH)) is not None
    assert job.here.runs() == OLD


def test_a_comment_that_may_not_be_written_is_a_warning(job: Actions) -> None:
    job.github.may_write = False
    ran = job.pull_request().succeeded()
    assert ran.stderr.count("::warning") == 1
    assert "pull-requests: write" in ran.stderr


def test_the_summary_says_what_changed_in_the_dependencies(job: Actions) -> None:
    job.push().succeeded()
    make_wheel(job.here.place.root / "shelf", {"six.py": ""}, name="six", version="1.17.0")
    requirements = job.root / "project sales" / "requirements.txt"
    requirements.write_text(requirements.read_text() + "six\n")
    job.push().succeeded()
    assert "1 added" in job.summary
    assert "<code>six</code> <code>1.17.0</code>" in job.summary


def test_a_base_image_of_ones_own_takes_the_place_of_the_python_version(job: Actions) -> None:
    env = job.environ(repository_event(ref="refs/heads/main", after=job.commit), "push")
    job.here.deploy(env={**env, "SERVERLESS_BASE_IMAGE_TAG": "mine"}).succeeded()
    document = job.here.cloud.locations("prod")["sales"]
    assert document["image"].endswith(":mine")
    assert set(document["pex_metadata"]) == {"pex_tag"}
    job.here.deploy(env={**env, "SERVERLESS_BASE_IMAGE": "registry.example.invalid/mine:1"}).succeeded()
    assert job.here.cloud.locations("prod")["sales"]["image"] == "registry.example.invalid/mine:1"


def test_a_merge_request_gets_its_branch_deployment(job: Actions) -> None:
    env = {
        "GITLAB_CI": "true",
        "CI_COMMIT_SHA": job.commit,
        "CI_COMMIT_REF_NAME": "feature",
        "CI_MERGE_REQUEST_IID": "5",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
        "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example.invalid/group/sub/code",
        "CI_PROJECT_PATH": "group/sub/code",
        "CI_PROJECT_URL": "https://gitlab.example.invalid/group/sub/code",
        "CI_PROJECT_NAME": "code",
        "CI_SERVER_URL": "https://gitlab.example.invalid",
        "CI_JOB_URL": "https://gitlab.example.invalid/group/sub/code/-/jobs/1",
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_DEFAULT_BRANCH": "main",
    }
    ran = job.here.deploy(env=env).succeeded()
    assert "in the branch deployment of `feature` (merge request !5)" in ran.stderr
    assert job.here.runs(deployment=branch_deployment_name("group/sub/code", "feature")) is not None
    assert job.here.runs() == OLD


def test_a_branch_on_a_laptop_gets_its_branch_deployment(job: Actions) -> None:
    job.repository.git("checkout", "-q", "-b", "try/ümlaut")
    ran = job.here.finish(job.here.start())
    ran.succeeded()
    assert job.here.runs(deployment=branch_deployment_name(REPOSITORY, "try/ümlaut")) is not None
    assert job.here.runs() == OLD
    job.here.deploy("--deployment=prod").succeeded()
    job.here.assert_whole()
