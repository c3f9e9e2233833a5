"""GitHub Actions: real-shaped event files, and no way from a pull request to production."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.deployment.context import CiContext
from builder.deployment.destination import (
    BranchDeployment,
    FullDeployment,
    ResolvedDestination,
    find_destination,
    parse_details,
    read_context,
)
from builder.deployment.github import is_of_default_branch
from builder.errors import ContextError
from tests.support.repositories import COMMITTED, Repository, github, pull_request_event, repository_event

URL = "https://github.com/acme/my.github.io"
HEAD = "a" * 40


@pytest.fixture
def event(tmp_path: Path) -> Path:
    return tmp_path / "event file.json"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory that is in no git repository."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


def choose(directory: Path, environ: Mapping[str, str], deployment: str | None = None) -> ResolvedDestination:
    return find_destination(directory, environ, deployment=deployment, details=None)


def branch_deployment(directory: Path, environ: Mapping[str, str], base: str | None = None) -> BranchDeployment:
    destination = choose(directory, environ, base).destination
    assert isinstance(destination, BranchDeployment)
    return destination


def refused(directory: Path, environ: Mapping[str, str]) -> ContextError:
    """The run is refused, whatever `--deployment` says: that names the base on a pull request."""
    with pytest.raises(ContextError):
        choose(directory, environ, "prod")
    with pytest.raises(ContextError) as caught:
        choose(directory, environ)
    assert "--code-location-details deployment=NAME" in str(caught.value.remedy)
    return caught.value


class TestPullRequest:
    def test_all_that_a_branch_deployment_needs_comes_from_the_event_and_the_head_commit(
        self, tmp_path: Path, event: Path
    ) -> None:
        repository = Repository.create(tmp_path / "a b" / "größe")
        base = repository.commit("base")
        repository.git("checkout", "-q", "-b", "feature")
        head = repository.commit()
        repository.git("checkout", "-q", "--detach", base)
        repository.git("merge", "-q", "--no-ff", "-m", f"Merge {head} into {base}", head)
        merge = repository.git("rev-parse", "HEAD")
        directory = repository.path / "project of mine"
        directory.mkdir()

        found = branch_deployment(
            directory, github(event, "pull_request", pull_request_event(head), GITHUB_SHA=merge)
        )

        assert (found.repository, found.branch, found.status) == ("acme/my.github.io", "feature/größe#1", "OPEN")
        assert found.branch_url == f"{URL}/tree/feature/gr%C3%B6%C3%9Fe%231"
        assert found.pull_request is not None
        assert (found.pull_request.number, found.pull_request.url) == ("12", f"{URL}/pull/12")
        assert (found.commit.hash, found.commit.timestamp, found.commit.message) == (head, COMMITTED, "Räume auf")
        assert (found.commit.author_name, found.commit.author_email) == ("Zoë Author", "zoe@example.com")
        assert found.commit.url == f"{URL}/commit/{head}"
        assert found.commit.avatar_url == "https://avatars.githubusercontent.com/u/1?v=4"
        assert found.base_deployment is None
        assert (found.git.commit_hash, found.git.url) == (head, f"{URL}/tree/{head}")
        assert (found.git.provider, found.git.base_branch) == ("github", "develop")
        assert (found.git.repo_owner, found.git.repo_name) == ("acme", "my.github.io")

    def test_a_shallow_clone_without_the_head_is_told_by_the_event_and_not_by_the_merge_commit(
        self, tmp_path: Path, event: Path
    ) -> None:
        repository = Repository.create(tmp_path / "origin")
        repository.commit("base")
        repository.git("checkout", "-q", "-b", "feature")
        head = repository.commit()
        repository.git("checkout", "-q", "main")
        repository.git("merge", "-q", "--no-ff", "-m", "the merge", "feature")
        checkout = tmp_path / "checkout"
        repository.git("clone", "-q", "--depth=1", "--branch=main", f"file://{repository.path}", str(checkout))

        commit = branch_deployment(checkout, github(event, "pull_request", pull_request_event(head))).commit

        assert (commit.hash, commit.message, commit.author_name) == (head, "Tidy up", "zoe")
        assert (commit.timestamp, commit.author_email) == (1717200000.0, None)

    def test_without_git_the_event_suffices(
        self, event: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environ = github(event, "pull_request", pull_request_event(HEAD))
        for _ in range(2):
            found = branch_deployment(elsewhere, environ)
            assert (found.commit.hash, found.commit.message) == (HEAD, "Tidy up")
            monkeypatch.setenv("PATH", str(elsewhere))

    @pytest.mark.parametrize(
        "name", ["pull_request_target", "pull_request_review", "pull_request_review_comment", "", "push"]
    )
    def test_any_event_with_a_pull_request_is_one(self, event: Path, elsewhere: Path, name: str) -> None:
        payload = pull_request_event(HEAD)
        assert isinstance(payload["pull_request"], dict)
        del payload["pull_request"]["merged"]
        found = branch_deployment(elsewhere, github(event, name, payload))
        assert (found.commit.hash, found.status) == (HEAD, "OPEN")

    @pytest.mark.parametrize(
        "changes, status",
        [
            ({"state": "closed"}, "CLOSED"),
            ({"state": "closed", "merged": True}, "MERGED"),
            ({"state": "closed", "merged_at": "2024-06-01T00:00:00Z"}, "MERGED"),
        ],
    )
    def test_a_closed_one_is_told_from_a_merged_one(
        self, event: Path, elsewhere: Path, changes: dict[str, object], status: str
    ) -> None:
        environ = github(event, "pull_request", pull_request_event(HEAD, **changes))
        assert branch_deployment(elsewhere, environ).status == status

    def test_a_deployment_is_the_base(self, event: Path, elsewhere: Path) -> None:
        environ = github(event, "pull_request", pull_request_event(HEAD))
        assert branch_deployment(elsewhere, environ, "staging").base_deployment == "staging"

    def test_a_fork_has_its_own_branch_page(self, event: Path, elsewhere: Path) -> None:
        home = {"full_name": "fork/x", "html_url": "https://github.com/fork/x"}
        payload = pull_request_event(HEAD, head={"ref": "main", "sha": HEAD, "repo": home})
        found = branch_deployment(elsewhere, github(event, "pull_request", payload))
        assert (found.repository, found.branch) == ("acme/my.github.io", "main")
        assert found.branch_url == "https://github.com/fork/x/tree/main"
        payload = pull_request_event(HEAD, head={"ref": "main", "sha": HEAD, "repo": None})
        assert (
            branch_deployment(elsewhere, github(event, "pull_request", payload)).branch_url == f"{URL}/tree/main"
        )

    def test_urls_are_those_of_an_enterprise_server(self, event: Path, elsewhere: Path) -> None:
        server = "https://ghe.corp.example:8443"
        environ = github(event, "pull_request", pull_request_event(HEAD), GITHUB_SERVER_URL=server + "/")
        found = branch_deployment(elsewhere, environ)
        assert found.git.url == f"{server}/acme/my.github.io/tree/{HEAD}"
        assert found.git.provider == "github"
        assert read_context(elsewhere, environ).run_url == f"{server}/acme/my.github.io/actions/runs/77"


class TestNeverProduction:
    @pytest.mark.parametrize("name", ["pull_request", "push", "schedule", ""])
    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b'{"a": "\xff"}', b"[" * 100_000, b"\xff\xfe{\x00}\x00"]
    )
    def test_an_unreadable_event(self, event: Path, elsewhere: Path, name: str, content: bytes) -> None:
        assert str(event) in str(refused(elsewhere, github(event, name, content)).detail)

    @pytest.mark.parametrize("name", ["pull_request", "push", ""])
    def test_a_missing_event(self, event: Path, elsewhere: Path, name: str) -> None:
        environ = github(event, name, {})
        event.unlink()
        assert "No such file" in str(refused(elsewhere, environ).detail)
        event.mkdir()
        assert "directory" in str(refused(elsewhere, environ).detail)
        assert "not set" in str(refused(elsewhere, github(event / "x", name, {}, GITHUB_EVENT_PATH="")).detail)

    @pytest.mark.parametrize(
        "changes",
        [
            {"number": None},
            {"number": "12"},
            {"number": True},
            {"html_url": None},
            {"state": None},
            {"state": "weird"},
            {"head": None},
            {"head": {"ref": "x"}},
            {"head": {"sha": HEAD}},
            {"head": {"ref": "x", "sha": "--output=x"}},
            {"head": {"ref": "x", "sha": HEAD[1:]}},
            {"head": {"ref": "", "sha": HEAD}},
            {"head": "x"},
            {"updated_at": None},
            {"updated_at": "yesterday"},
        ],
    )
    def test_a_pull_request_that_lacks_something(
        self, event: Path, elsewhere: Path, changes: dict[str, object]
    ) -> None:
        error = refused(elsewhere, github(event, "pull_request", pull_request_event(HEAD, **changes)))
        assert f"{next(iter(changes))}" in str(error.detail)

    @pytest.mark.parametrize("request_value", [None, {}, [], "12"])
    def test_a_pull_request_that_is_none(self, event: Path, elsewhere: Path, request_value: object) -> None:
        payload = pull_request_event(HEAD) | {"pull_request": request_value}
        for name in ("pull_request", "push"):
            refused(elsewhere, github(event, name, payload, GITHUB_REF="refs/heads/main"))

    def test_a_pull_request_without_its_repository(self, event: Path, elsewhere: Path) -> None:
        payload = pull_request_event(HEAD) | {"repository": {}}
        assert "repository.full_name" in str(refused(elsewhere, github(event, "pull_request", payload)).detail)

    @pytest.mark.parametrize(
        "name, more, variables",
        [
            ("pull_request", {}, {"GITHUB_REF": "refs/heads/main"}),
            ("pull_request_review", {}, {}),
            ("push", {}, {"GITHUB_REF": "refs/pull/12/merge"}),
            ("push", {}, {"GITHUB_REF": "refs/heads/gh-readonly-queue/main/pr-12-aaaa"}),
            ("push", {}, {"GITHUB_HEAD_REF": "feature"}),
            ("push", {}, {"GITHUB_BASE_REF": "main"}),
            ("merge_group", {"merge_group": {"head_sha": HEAD}}, {}),
            ("", {"merge_group": {"head_sha": HEAD}}, {}),
            ("issue_comment", {"issue": {"number": 12, "pull_request": {"url": "u"}}}, {}),
            ("repository_dispatch", {"client_payload": {"pull_request": {"number": 12}}}, {}),
            ("check_suite", {"check_suite": {"pull_requests": [{"number": 12}]}}, {}),
            ("check_run", {"check_run": {"pull_requests": [{"number": 12}]}}, {}),
            ("workflow_run", {"workflow_run": {"event": "pull_request", "head_branch": "main"}}, {}),
            ("workflow_run", {"workflow_run": {"event": "pull_request_target", "head_branch": "main"}}, {}),
            ("workflow_run", {"workflow_run": {"event": "merge_group", "head_branch": "main"}}, {}),
            (
                "workflow_run",
                {"workflow_run": {"event": "push", "head_branch": "main", "pull_requests": [{"number": 1}]}},
                {},
            ),
            (
                "workflow_run",
                {
                    "workflow_run": {
                        "event": "push",
                        "head_branch": "main",
                        "head_repository": {"full_name": "f/x"},
                    }
                },
                {},
            ),
        ],
    )
    def test_an_event_that_hides_its_pull_request(
        self, event: Path, elsewhere: Path, name: str, more: dict[str, object], variables: dict[str, str]
    ) -> None:
        refused(elsewhere, github(event, name, repository_event(**more), **variables))

    def test_details_settle_even_those(self, event: Path, elsewhere: Path) -> None:
        details = parse_details("deployment=f00,commit_hash=abc")
        environ = github(event, "pull_request", b"{")
        destination = find_destination(elsewhere, environ, deployment=None, details=details).destination
        assert isinstance(destination, FullDeployment)
        assert (destination.name, destination.git.commit_hash) == ("f00", "abc")


class TestPush:
    def test_to_the_default_branch_goes_to_prod(self, tmp_path: Path, event: Path) -> None:
        repository = Repository.create(tmp_path / "checkout")
        head = repository.commit()
        choice = choose(repository.path, github(event, "push", repository_event(), GITHUB_SHA=head))
        destination = choice.destination
        assert isinstance(destination, FullDeployment)
        assert (destination.name, choice.notices) == ("prod", ())
        assert (destination.git.commit_hash, destination.git.url) == (head, f"{URL}/tree/{head}")
        assert (destination.git.repo_owner, destination.git.base_branch) == ("acme", "main")
        assert choice.context.commit is not None
        assert choice.context.commit.message == "Räume auf"

    def test_to_another_branch_says_so(self, event: Path, elsewhere: Path) -> None:
        environ = github(event, "push", repository_event(), GITHUB_REF="refs/heads/feature/x")
        choice = choose(elsewhere, environ)
        assert isinstance(choice.destination, FullDeployment)
        assert choice.destination.name == "prod"
        assert "`feature/x`" in choice.notices[0].text
        assert "`prod`" in choice.notices[0].text
        assert choose(elsewhere, environ, "staging").notices == ()

    @pytest.mark.parametrize(
        "name, ref",
        [("push", "refs/tags/v1"), ("release", "refs/tags/v1"), ("workflow_dispatch", "refs/heads/main")],
    )
    def test_tags_releases_and_dispatches_of_the_default_branch_are_like_it(
        self, event: Path, elsewhere: Path, name: str, ref: str
    ) -> None:
        choice = choose(elsewhere, github(event, name, repository_event(), GITHUB_REF=ref))
        assert isinstance(choice.destination, FullDeployment)
        assert (choice.destination.name, choice.notices) == ("prod", ())

    @pytest.mark.parametrize("name", ["schedule", "repository_dispatch"])
    def test_events_of_the_default_branch_need_not_name_it(self, event: Path, elsewhere: Path, name: str) -> None:
        choice = choose(elsewhere, github(event, name, {"schedule": "0 0 * * *"}))
        assert isinstance(choice.destination, FullDeployment)
        assert choice.destination.name == "prod"
        assert choice.destination.git.repo_name == "my.github.io"

    def test_a_run_after_a_push_to_the_default_branch_is_like_it(self, event: Path, elsewhere: Path) -> None:
        run = {"event": "push", "head_branch": "main", "pull_requests": []}
        choice = choose(elsewhere, github(event, "workflow_run", repository_event(workflow_run=run)))
        assert isinstance(choice.destination, FullDeployment)
        assert choice.destination.name == "prod"

    @pytest.mark.parametrize(
        "name, more, variables",
        [
            ("deployment_status", {}, {}),
            ("issue_comment", {"issue": {"number": 3}}, {}),
            ("", {}, {}),
            ("workflow_dispatch", {}, {"GITHUB_REF": "refs/heads/feature"}),
            ("push", {}, {"GITHUB_REF": ""}),
            ("workflow_run", {"workflow_run": {"event": "push", "head_branch": "feature"}}, {}),
            ("workflow_run", {"workflow_run": {"event": "issue_comment", "head_branch": "main"}}, {}),
            ("workflow_run", {"workflow_run": {"event": "push"}}, {}),
            ("workflow_run", {"workflow_run": {"event": "push", "head_branch": "main"}, "repository": {}}, {}),
            ("workflow_run", {}, {}),
        ],
    )
    def test_any_other_event_needs_a_deployment(
        self, event: Path, elsewhere: Path, name: str, more: dict[str, object], variables: dict[str, str]
    ) -> None:
        environ = github(event, name, repository_event(**more), **variables)
        with pytest.raises(ContextError) as caught:
            choose(elsewhere, environ)
        assert "`--deployment NAME`" in str(caught.value.remedy)
        destination = choose(elsewhere, environ, "staging").destination
        assert isinstance(destination, FullDeployment)
        assert destination.name == "staging"


def test_an_event_without_more_environment_is_enough(event: Path, elsewhere: Path) -> None:
    event.write_text(json.dumps(pull_request_event(HEAD)), encoding="utf-8")
    found = branch_deployment(elsewhere, {"GITHUB_EVENT_PATH": str(event)})
    assert found.git.url == f"{URL}/tree/{HEAD}"


def test_variables_of_a_codespace_are_no_run(elsewhere: Path) -> None:
    context = read_context(
        elsewhere, {"GITHUB_REPOSITORY": "acme/x", "GITHUB_ACTIONS": "false", "CODESPACES": "true"}
    )
    assert isinstance(context, CiContext)
    assert context.local


@pytest.mark.parametrize(
    "environ",
    [{"GITHUB_REF": "refs/pull/12/merge"}, {"GITHUB_HEAD_REF": "main", "GITHUB_BASE_REF": "main"}],
)
def test_a_container_that_got_some_of_a_runs_variables_is_no_laptop(
    tmp_path: Path, environ: Mapping[str, str]
) -> None:
    """The branch of a fork's pull request may be its `main`."""
    repository = Repository.create(tmp_path / "code", branch="main", origin=f"{URL}.git")
    with pytest.raises(ContextError, match="may be a pull request"):
        read_context(repository.path, environ)


class TestDefaultBranch:
    @pytest.mark.parametrize(
        "name, more, variables, of_it",
        [
            ("push", {}, {}, True),
            ("push", {}, {"GITHUB_REF": "refs/heads/other"}, False),
            ("push", {}, {"GITHUB_REF": "refs/tags/main"}, False),
            ("push", {}, {"GITHUB_REF": ""}, False),
            ("pull_request_target", {"pull_request": {}}, {}, False),
            ("merge_group", {"merge_group": {}}, {}, False),
            ("workflow_run", {"workflow_run": {"event": "push", "head_branch": "main"}}, {}, True),
            ("workflow_run", {"workflow_run": {"event": "push", "head_branch": "other"}}, {}, False),
            ("workflow_run", {"workflow_run": {"event": "pull_request", "head_branch": "main"}}, {}, False),
        ],
    )
    def test_whether_a_run_is_of_it(
        self, event: Path, name: str, more: dict[str, object], variables: dict[str, str], *, of_it: bool
    ) -> None:
        environ = github(event, name, repository_event(**more), **variables)
        assert is_of_default_branch(environ) is of_it
        assert not is_of_default_branch(environ, "other name")

    def test_outside_of_an_event_nothing_is(self) -> None:
        assert not is_of_default_branch({}, "main")
        assert not is_of_default_branch({"GITHUB_REF": "refs/heads/main"})

    def test_an_event_that_cannot_be_read_is_refused(self, event: Path) -> None:
        with pytest.raises(ContextError, match="cannot be read"):
            is_of_default_branch(github(event, "push", b"{"))
