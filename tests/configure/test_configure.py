"""`builder.configure`: the workflows that it writes, and each of their steps, run against a Dagster Cloud."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.support.cloud import CloudServer
from tests.support.cloud.github import GitHubServer
from tests.support.commands import run_command
from tests.support.composite_action import Ran, Runner, evaluated, filled, put_action
from tests.support.programs import REPOSITORY
from tests.support.repositories import (
    Repository,
    gitlab,
    gitlab_merge_request,
    pull_request_event,
    repository_event,
)

EXAMPLES = {
    "deploy.yml": ("github", "--split"),
    "deploy-in-one-job.yml": ("github",),
    "gitlab-ci.yml": ("gitlab",),
    "gitlab-ci-split.yml": ("gitlab", "--split"),
}
WRITTEN = {"github": ".github/workflows/deploy.yml", "gitlab": ".gitlab-ci.yml"}
OWNER = "acme/my.github.io"


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    """The quickstart in a repository of its own."""
    directory = tmp_path / "a repository"
    shutil.copytree(REPOSITORY / "examples" / "quickstart", directory)
    repository = Repository(directory)
    repository.git("init", "-q", "-b", "main")
    return repository


def configured(project: Repository, *arguments: str) -> str:
    ran = run_command("configure", *arguments, directory=project.path)
    ran.succeeded()
    return (project.path / WRITTEN[arguments[0]]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_what_is_written(project: Repository, name: str) -> None:
    text = configured(project, *EXAMPLES[name])
    assert text == (REPOSITORY / "examples" / "workflows" / name).read_text(encoding="utf-8")


def test_it_fits_the_project(project: Repository) -> None:
    nested = project.path / "data" / "etl"
    nested.mkdir(parents=True)
    for path in ("dagster_cloud.yaml", "pyproject.toml", "quickstart"):
        (project.path / path).rename(nested / path)
    (nested / "dbt").mkdir()
    (nested / "dbt" / "dbt_project.yml").write_text("name: shop\n")
    project.git("checkout", "-q", "-b", "trunk")
    options = ["--deployment=staging", "--python-version=3.12", "--organization=acme"]
    text = configured(project, "github", "data/etl", *options)
    workflow = yaml.safe_load(text)
    assert workflow[True]["push"]["branches"] == ["trunk"]
    *_, dbt, deploy = workflow["jobs"]["deploy"]["steps"]
    assert 'dbt" parse --project-dir data/etl/dbt' in dbt["run"]
    assert deploy["with"] == {
        "api-token": "${{ secrets.DAGSTER_CLOUD_API_TOKEN }}",
        "deployment": "staging",
        "organization": "acme",
        "python-version": "3.12",
        "workspace": "data/etl",
    }
    pipeline = yaml.safe_load(configured(project, "gitlab", "data/etl", *options))
    assert pipeline[".dagster"]["image"] == "python:3.12"
    assert "builder.deploy data/etl " in pipeline["deploy"]["script"][-1]
    assert pipeline["variables"]["DAGSTER_CLOUD_ORGANIZATION"] == "acme"


def test_dbt_components_need_no_step(project: Repository) -> None:
    (project.path / "dbt_project.yml").write_text("name: shop\n")
    assert "dbt" in configured(project, "github")
    (project.path / WRITTEN["github"]).unlink()
    (project.path / "quickstart" / "defs.yaml").write_text("type: dagster_dbt.DbtProjectComponent\n")
    assert "dbt" not in configured(project, "github")


def test_gitlab_runs_no_builder_pex_but_the_one_that_is_meant(project: Repository, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "builder.pex").write_bytes(b"as if")
    digest = hashlib.sha256(b"as if").hexdigest()
    (site / "builder.pex.json").write_text(json.dumps({"version": "1", "sha256": digest}, indent=2))
    script = "\n".join(yaml.safe_load(configured(project, "gitlab"))[".dagster"]["before_script"])

    def run(**variables: str) -> int:
        command = ["bash", "-euc", script.replace("/tmp/", f"{tmp_path}/")]  # noqa: S108
        environment = {**os.environ, "BUILDER_URL": f"file://{site}/builder.pex", **variables}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    assert run() == 0
    assert run(BUILDER_SHA256="0" * 64) != 0
    (site / "builder.pex").write_bytes(b"another")
    assert run() != 0
    # A json without a hash vouches for nothing.
    (site / "builder.pex.json").write_text("{}")
    assert run() != 0


def test_another_workflow_is_left_as_it_is(project: Repository) -> None:
    text = configured(project, "gitlab")
    assert configured(project, "gitlab") == text
    (project.path / WRITTEN["gitlab"]).write_text("mine: true\n")
    error = run_command("configure", "gitlab", directory=project.path).failed(2)
    assert "is another workflow" in error
    assert run_command("configure", "gitlab", "--stdout", directory=project.path).succeeded().stdout == text
    assert (project.path / WRITTEN["gitlab"]).read_text() == "mine: true\n"


@pytest.mark.parametrize("option", ["--deployment=a: b", "--organization=$(id)", '--python-version=3"'])
def test_what_would_mean_more_than_itself_is_refused(project: Repository, option: str) -> None:
    assert "is no such name" in run_command("configure", "github", option, directory=project.path).failed(2)


def test_without_a_repository_there_is_no_place_for_it(project: Repository) -> None:
    shutil.rmtree(project.path / ".git")
    assert "git init" in run_command("configure", "github", directory=project.path).failed()


@dataclass(slots=True)
class Hosted:
    """GitHub with the project in it, and a runner for each job."""

    root: Path
    project: Repository
    cloud: CloudServer
    github: GitHubServer
    commit: str
    artifacts: dict[str, Path] = field(default_factory=dict)

    def run(self, workflow: Mapping[str, object], event: Mapping[str, object], name: str) -> dict[str, Ran]:
        """Run the jobs of a workflow, as far as their conditions let them."""
        (self.root / "event.json").write_text(json.dumps(event), encoding="utf-8")
        ran: dict[str, Ran] = {}
        for job, content in workflow["jobs"].items():  # type: ignore[attr-defined]
            closed = event.get("action") == "closed"
            if closed and content.get("if") == "github.event.action != 'closed'":
                continue
            ran[job] = self._job(job, content["steps"], name, closed=closed)
            assert ran[job].code == 0, ran[job].log
        return ran

    def _job(self, job: str, steps: list[dict[str, object]], event: str, *, closed: bool) -> Ran:
        temporary = self.root / f"{job} {len(list(self.root.iterdir()))}"
        temporary.mkdir()
        pull_request = event == "pull_request"
        environ = {
            **os.environ,
            **self.github.environ(),
            "DAGSTER_CLOUD_URL": self.cloud.url,
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(self.root / "event.json"),
            "GITHUB_REF": "refs/pull/12/merge" if pull_request else "refs/heads/main",
            "GITHUB_REF_NAME": "12/merge" if pull_request else "main",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_RUN_ID": "77",
            "GITHUB_SHA": "e" * 40 if pull_request else self.commit,
            "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
            "RUNNER_ARCH": "X64",
            "RUNNER_OS": "Linux",
        }
        values = {
            "github.event.action": "closed" if closed else "opened",
            "runner.temp": str(temporary),
            "secrets.DAGSTER_CLOUD_API_TOKEN": self.cloud.token,
        }
        ran = Ran()
        for step in steps:
            if "if" in step and evaluated(str(step["if"]), values) != "true":
                continue
            given = {name: filled(str(value), values) for name, value in dict(step.get("with", {})).items()}  # type: ignore[call-overload]
            match str(step["uses"]).partition("@")[0]:
                case "OWNER/builder":
                    ran = Runner(self.root / "action", self.project.path, temporary, environ).run(given)
                    values |= {f"steps.{step['id']}.outputs.{name}": value for name, value in ran.outputs.items()}
                case "actions/upload-artifact":
                    shutil.copytree(given["path"], self.root / "artifact", dirs_exist_ok=True)
                case "actions/download-artifact":
                    shutil.copytree(self.root / "artifact", given["path"])
                case other:
                    assert other == "actions/checkout"
        return ran


@pytest.fixture
def hosted(project: Repository, tmp_path: Path) -> Iterator[Hosted]:
    with CloudServer() as cloud, GitHubServer(OWNER) as github:
        project.git("remote", "add", "origin", f"{github.server_url}/{OWNER}.git")
        put_action(tmp_path / "action")
        yield Hosted(tmp_path, project, cloud, github, "")


@pytest.mark.network
@pytest.mark.slow
def test_from_an_empty_repository_to_production(hosted: Hosted) -> None:
    workflow = yaml.safe_load(configured(hosted.project, "github", "--split"))
    hosted.commit = hosted.project.commit()
    opened = hosted.run(workflow, pull_request_event(hosted.commit), "pull_request")["deploy"]
    branch = opened.outputs["deployment"]
    assert branch not in {"", "prod"}
    assert "quickstart" in hosted.cloud.locations(branch)
    assert not hosted.cloud.locations("prod")
    assert "✅ ready" in hosted.github.comments(12)[0].body

    assert_pushed(hosted, workflow)

    closing = pull_request_event(hosted.commit, state="closed", merged=True)
    assert list(hosted.run(workflow, {**closing, "action": "closed"}, "pull_request")) == ["deploy"]
    assert "merged" in hosted.github.comments(12)[0].body


def assert_pushed(hosted: Hosted, workflow: Mapping[str, object]) -> None:
    """A push into the default branch is deployed to production."""
    event = repository_event(ref="refs/heads/main", after=hosted.commit)
    pushed = hosted.run(workflow, event, "push")["deploy"]
    assert pushed.outputs["deployment"] == "prod"
    running = hosted.cloud.locations("prod")["quickstart"]["pex_metadata"]["pex_tag"]
    assert running == pushed.outputs["pex-tag"]


@pytest.mark.network
@pytest.mark.slow
def test_in_one_job_it_is_the_same(hosted: Hosted) -> None:
    workflow = yaml.safe_load(configured(hosted.project, "github"))
    hosted.commit = hosted.project.commit()
    assert_pushed(hosted, workflow)
    # Another test closes one that was open; here nothing is built for that, and nothing fails.
    closing = {**pull_request_event(hosted.commit, state="closed"), "action": "closed"}
    assert list(hosted.run(workflow, closing, "pull_request")) == ["deploy"]


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(
    "options, kinds",
    [((), (gitlab,)), (("--split",), (gitlab_merge_request, gitlab))],
    ids=["one job", "two jobs"],
)
def test_a_merge_request_and_a_push_in_gitlab(
    hosted: Hosted, options: tuple[str, ...], kinds: tuple[Callable[..., Mapping[str, str]], ...]
) -> None:
    pipeline = yaml.safe_load(configured(hosted.project, "gitlab", *options))
    commit = hosted.project.commit()
    stub = hosted.root / "action" / "generated" / "gha" / "builder.pex"
    for kind in kinds:
        for job in (name for name in ("build", "deploy") if name in pipeline):
            secrets = hosted.cloud.environ() if job == "deploy" else {}
            given = {
                **os.environ,
                **kind(CI_COMMIT_SHA=commit),
                **secrets,
                "CI_DEFAULT_BRANCH": "main",
                "CI_JOB_ID": "7",
                "CI_PROJECT_DIR": str(hosted.project.path),
            }
            assert pipeline["variables"]["OUT"] == "$CI_PROJECT_DIR/../dagster-out-$CI_JOB_ID"
            given["OUT"] = f"{hosted.project.path}/../dagster-out-7"
            script = "\n".join(pipeline[job]["script"]).replace("/tmp/builder.pex", f"'{stub}'")  # noqa: S108
            finished = subprocess.run(
                ["bash", "-euc", script],
                cwd=hosted.project.path,
                env=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            )
            assert finished.returncode == 0, finished.stdout
        shutil.rmtree(hosted.project.path.parent / "dagster-out-7")
    assert "quickstart" in hosted.cloud.locations("prod")
    assert (len(hosted.cloud.deployments) > 1) is (gitlab_merge_request in kinds)
