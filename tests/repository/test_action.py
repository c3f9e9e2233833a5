"""action.yml: it has every option of builder.deploy, and its steps work as a runner has them run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import click
import pytest

from builder.delivery import options as delivery_options
from builder.deploy import main as deploy
from tests.support.cloud import CloudServer
from tests.support.cloud.github import GitHubServer
from tests.support.composite_action import Ran, Runner, put_action, read
from tests.support.deploying import Deploying, deploying
from tests.support.programs import REPOSITORY
from tests.support.repositories import Repository, pull_request_event, repository_event

ACTION = REPOSITORY / "action.yml"
OF_THE_ACTION = {
    "workspace",
    "out-dir",
    "api-token",
    "organization",
    "url",
    "github-token",
    "cache",
    "cache-max-gb",
}
OWNER = "acme/my.github.io"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("action_deploy", REPOSITORY / "action" / "deploy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_every_option_of_deploy() -> None:
    made, inputs = script(), set(read(ACTION)["inputs"]) - OF_THE_ACTION
    kinds: dict[str, set[str]] = {"switches": set(), "flags": set(), "lists": set(), "values": set()}
    for option in deploy.params:
        if isinstance(option, click.Option) and option.name != "help":
            name = option.opts[0].removeprefix("--")
            kind = "switches" if option.secondary_opts else "flags" if option.is_flag else "values"
            kinds["lists" if option.multiple else kind].add(name)
    assert kinds == {name: getattr(made, name.upper()) for name in kinds}
    assert inputs == set().union(*kinds.values())
    assert {f"--{name}" for name in made.OF_UPLOADING - made.SWITCHES} | {"--verify/--no-verify"} == set(
        delivery_options._UPLOADING.values()  # noqa: SLF001
    )
    assert {f"--{name}" for name in made.OF_UPDATING - made.SWITCHES} | {"--wait/--no-wait"} == set(
        delivery_options._UPDATING.values()  # noqa: SLF001
    )


def test_every_input_reaches_the_script() -> None:
    (step,) = (step for step in read(ACTION)["runs"]["steps"] if step.get("id") == "deploy")
    for name in set(read(ACTION)["inputs"]) - OF_THE_ACTION:
        assert step["env"][f"INPUT_{name.upper().replace('-', '_')}"] == f"${{{{ inputs.{name} }}}}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.github-actions"),
        ("zizmor", "--offline", "--no-progress", "--pedantic"),
    ],
    ids=lambda command: command[0],
)
def test_linters_accept_it(command: tuple[str, ...]) -> None:
    finished = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:], ACTION],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@dataclass(slots=True)
class Job:
    """A job with the user's project checked out, and the action elsewhere."""

    here: Deploying
    github: GitHubServer
    runner: Runner
    commit: str

    def run(self, event: object, name: str, **inputs: str) -> Ran:
        path = self.here.place.root / "event.json"
        path.write_text(json.dumps(event), encoding="utf-8")
        pull_request = name == "pull_request"
        ran = self.runner.run(
            {"verify": "false", **{key.replace("_", "-"): value for key, value in inputs.items()}},
            GITHUB_EVENT_NAME=name,
            GITHUB_EVENT_PATH=str(path),
            GITHUB_SHA="e" * 40 if pull_request else self.commit,
            GITHUB_REF="refs/pull/12/merge" if pull_request else "refs/heads/main",
            GITHUB_REF_NAME="12/merge" if pull_request else "main",
            GITHUB_REF_TYPE="branch",
        )
        self.here.said.append(ran.log)
        return ran

    def push(self, **inputs: str) -> Ran:
        event = repository_event(ref="refs/heads/main", after=self.commit)
        return self.run(event, "push", api_token=self.cloud.token, url=self.cloud.url, **inputs)

    @property
    def cloud(self) -> CloudServer:
        return self.here.cloud


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    (tmp_path / "work").mkdir()
    with deploying(tmp_path / "work") as here, GitHubServer(OWNER) as github:
        here.locations("sales")
        here.run_before("sales")
        temporary = tmp_path / "temporary files"
        temporary.mkdir()
        repository = Repository(here.place.root)
        repository.git("init", "-q", "-b", "main")
        repository.git("remote", "add", "origin", f"{github.server_url}/{OWNER}.git")
        environ = {
            **os.environ,
            **github.environ(),
            **here.place.environment,
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": "octocat",
            "GITHUB_RUN_ID": "77",
            "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
            "RUNNER_ARCH": "X64",
            "RUNNER_OS": "Linux",
        }
        action = put_action(tmp_path / "_actions" / "acme" / "builder" / "v1")
        yield Job(here, github, Runner(action, here.place.root, temporary, environ), repository.commit())


@pytest.mark.slow
def test_a_push_is_deployed_from_a_tree_without_the_action(job: Job) -> None:
    ran = job.push(location="sales\n")
    assert ran.code == 0, ran.log
    assert job.here.runs() == ran.outputs["pex-tag"]
    assert ran.outputs["deployment"] == "prod"
    assert Path(ran.outputs["build-json"]).is_relative_to(job.runner.temporary)
    assert [name for name, _ in ran.used] == ["actions/cache/restore", "actions/cache/save"]
    restored, saved = (given for _, given in ran.used)
    assert saved["key"] == restored["key"]
    assert restored["key"].startswith(restored["restore-keys"])
    assert "✅ ready" in (job.runner.temporary / "summary").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_pull_request_gets_its_branch_deployment_and_a_comment_until_it_is_closed(job: Job) -> None:
    event = pull_request_event(job.commit)
    given = {"api_token": job.cloud.token, "url": job.cloud.url}
    ran = job.run(event, "pull_request", **given)
    assert ran.code == 0, ran.log
    assert ran.outputs["deployment"] not in {"", "prod"}
    assert job.here.runs(deployment=ran.outputs["deployment"]) == ran.outputs["pex-tag"]
    job.here.assert_untouched()
    assert ["✅ ready" in comment.body for comment in job.github.comments(12)] == [True]
    closed = job.run(pull_request_event(job.commit, action="closed", state="closed"), "pull_request", **given)
    assert closed.code == 0, closed.log
    assert "closed" in job.github.comments(12)[0].body


@pytest.mark.slow
@pytest.mark.parametrize("stranger", ["fork", "dependabot"])
def test_a_pull_request_without_secrets_is_built_and_that_is_said(job: Job, stranger: str) -> None:
    event = pull_request_event(job.commit)
    if stranger == "fork":
        event["pull_request"]["head"]["repo"]["full_name"] = "stranger/etl"  # type: ignore[index]
    else:
        job.runner.environ["GITHUB_ACTOR"] = "dependabot[bot]"  # type: ignore[index]
    ran = job.run(event, "pull_request", deployment="prod", wait="true", verify="false")
    assert ran.code == 0, ran.log
    assert "no secrets: the project is built, but not deployed" in ran.log
    assert (
        json.loads(Path(ran.outputs["build-json"]).read_text())["locations"][0]["pex_tag"]
        == ran.outputs["pex-tag"]
    )
    assert job.cloud.operations() == []
    event["action"] = "closed"
    assert "there is nothing that this job could do" in job.run(event, "pull_request").log


@pytest.mark.slow
def test_a_pull_request_whose_token_was_forgotten_fails(job: Job) -> None:
    ran = job.run(pull_request_event(job.commit), "pull_request", url=job.cloud.url)
    assert ran.code == 1
    assert "DAGSTER_CLOUD_API_TOKEN" in ran.log


@pytest.mark.slow
def test_one_job_builds_and_another_delivers(job: Job) -> None:
    out = str(job.here.place.root / "out files")
    event = repository_event(ref="refs/heads/main", after=job.commit)
    built = job.run(event, "push", upload_pex="false", out_dir=out, deployment="prod")
    assert built.code == 0, built.log
    assert job.cloud.operations() == []
    assert built.outputs["build-json"] == f"{out}/build.json"
    delivered = job.push(built="true", out_dir=out)
    assert delivered.code == 0, delivered.log
    assert job.here.runs() == delivered.outputs["pex-tag"]


def test_values_of_variables_are_on_no_command_line() -> None:
    environ: dict[str, str] = {}
    inputs = {"env": "HOST\nPASSWORD=sesame=\n", "wait": "false", "plan": "true"}
    made = script()
    made.pass_variables(inputs, environ)
    assert environ == {"PASSWORD": "sesame="}
    inputs |= {"upload-pex": "true", "update-code-location": "True ", "deployment": "", "verify": "true"}
    assert made.options(inputs) == [
        *("--env=HOST", "--env=PASSWORD", "--no-wait", "--plan", "--upload-pex", "--update-code-location"),
        "--verify",
    ]


@pytest.mark.slow
def test_what_is_neither_true_nor_false_is_refused(job: Job) -> None:
    ran = job.push(upload_pex="yes")
    assert ran.code == 2
    assert "the input `upload-pex` is `yes`; write `true` or `false`" in ran.log


@pytest.mark.slow
def test_a_python_that_is_missing_is_set_up(job: Job) -> None:
    (job.here.place.root / ".python-version").write_text("3.13.1\n")
    job.runner.environ["PATH"] = _only_python(job.runner.temporary, "3.11")  # type: ignore[index]
    for asked, missing in {"": "3.13", "3.11": "", "3.9": "3.9", "oops": ""}.items():
        ran = job.push(python_version=asked, upload_pex="wrong")
        pythons = [given["python-version"] for name, given in ran.used if name == "actions/setup-python"]
        assert pythons == ([missing] if missing else [])


@pytest.mark.slow
def test_the_cache_is_another_where_a_lock_is(job: Job) -> None:
    def key() -> str:
        return job.push(upload_pex="wrong").used[0][1]["key"]

    before = key()
    assert key() == before
    (job.here.place.root / "project sales" / "uv.lock").write_text("version = 1\n")
    assert key() != before


def test_a_runner_with_windows_is_refused(tmp_path: Path) -> None:
    ran = Runner(REPOSITORY, tmp_path, tmp_path, {"PATH": os.environ["PATH"], "RUNNER_OS": "Windows"}).run({})
    assert ran.code == 1
    assert "write `runs-on: ubuntu-24.04`" in ran.log


def _only_python(directory: Path, version: str) -> str:
    """A PATH with the programs of the system, and no other Python than this."""
    chosen = directory / "bin"
    chosen.mkdir()
    for folder in reversed(os.environ["PATH"].split(":")):
        for program in Path(folder).glob("*"):
            if not program.name.startswith("python"):
                (chosen / program.name).unlink(missing_ok=True)
                (chosen / program.name).symlink_to(program)
    (chosen / f"python{version}").symlink_to(sys.executable)
    return str(chosen)
