"""examples/workflows/comment-on-forks.yml: a fork's pull request is told how its build went."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.cloud.github import GitHubServer
from tests.support.composite_action import evaluated, filled, read
from tests.support.programs import REPOSITORY

EXAMPLES = REPOSITORY / "examples" / "workflows"
WORKFLOW = read(EXAMPLES / "comment-on-forks.yml")
JOB = WORKFLOW["jobs"]["comment"]
COMMIT, BRANCH, OWNER = "c" * 40, "größe & $(touch hacked)", "stranger"
RUN_URL = "https://github.com/acme/etl/actions/runs/77"


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer("acme/etl") as server:
        server.add_pull_request(7, f"{OWNER}:{BRANCH}", "b" * 40)
        server.add_pull_request(12, f"{OWNER}:{BRANCH}", COMMIT)
        server.add_pull_request(13, f"other:{BRANCH}", COMMIT)
        yield server


def comment(github: GitHubServer, conclusion: str = "success", **changes: str) -> str:
    """Run the job's one step as a runner does; what it printed."""
    run = "github.event.workflow_run"
    values = {
        "github.token": github.token,
        f"{run}.head_branch": BRANCH,
        f"{run}.head_sha": COMMIT,
        f"{run}.conclusion": conclusion,
        f"{run}.head_repository.owner.login": OWNER,
        f"{run}.html_url": RUN_URL,
        **{f"{run}.{name}": value for name, value in changes.items()},
    }
    (step,) = JOB["steps"]
    given = {name: filled(value, values) for name, value in step["env"].items()}
    finished = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={**os.environ, **github.environ(), **given},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr


def bodies(github: GitHubServer, number: int = 12) -> list[str]:
    return [each.body for each in github.comments(number)]


def test_it_follows_what_configure_writes_and_only_for_forks() -> None:
    for name in ("deploy.yml", "deploy-in-one-job.yml"):
        followed = {"workflows": [read(EXAMPLES / name)["name"]], "types": ["completed"]}
        # YAML 1.1 takes the key `on` for a truth value.
        assert WORKFLOW[True] == {"workflow_run": followed}
    values = {"github.repository": "acme/etl", "github.event.workflow_run.event": "pull_request"}
    for home, runs in {"acme/etl": "false", "stranger/etl": "true", "": "true"}.items():
        values["github.event.workflow_run.head_repository.full_name"] = home
        assert evaluated(JOB["if"], values) == runs
    assert evaluated(JOB["if"], values | {"github.event.workflow_run.event": "push"}) == "false"


def test_a_job_with_a_token_uses_nothing_that_the_pull_request_made() -> None:
    assert WORKFLOW["permissions"] == {}
    assert JOB["permissions"] == {"pull-requests": "write"}
    assert not [step for step in JOB["steps"] if "uses" in step]


def test_the_pull_request_of_the_commit_has_one_comment(github: GitHubServer) -> None:
    mark = "<!-- dagster-builder: built without secrets -->"
    # Who copies the mark has no say in what is written where.
    github.add_comment(12, f"{mark} mine", login="stranger")
    assert not comment(github)
    assert f"{COMMIT} ✅ is built and verified, and not deployed" in bodies(github)[1]
    assert f"]({RUN_URL})" in bodies(github)[1]
    comment(github, "failure")
    assert f"{COMMIT} ❌ could not be built" in bodies(github)[1]
    assert bodies(github)[0] == f"{mark} mine"
    assert len(bodies(github)) == 2
    assert not bodies(github, 7)
    assert not bodies(github, 13)


@pytest.mark.parametrize("changes", [{"conclusion": "skipped"}, {"head_sha": "d" * 40}])
def test_where_nothing_was_built_or_it_is_outdated_nothing_is_written(
    github: GitHubServer, changes: dict[str, str]
) -> None:
    comment(github, **changes)
    assert not [request for request in github.requests if request.method != "GET"]


def test_a_comment_that_may_not_be_written_fails_the_job(github: GitHubServer) -> None:
    github.may_write = False
    with pytest.raises(AssertionError, match="403"):
        comment(github)
