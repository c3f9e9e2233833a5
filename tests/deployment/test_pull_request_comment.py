"""The comment on a pull request, against GitHub's REST API on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from builder.deployment.pull_request_comment import PullRequestComment
from builder.errors import Notice
from builder.system import process
from tests.support.cloud import faults
from tests.support.cloud.github import GitHubServer

MARKER = "<!-- dagster-builder: prod/dagster_cloud.yaml -->"
PERMISSION = "add `permissions: pull-requests: write` to the job"


@pytest.fixture(params=[False, True], ids=["github.com", "enterprise"])
def github(request: pytest.FixtureRequest) -> Iterator[GitHubServer]:
    with GitHubServer(enterprise=request.param) as server:
        yield server


@pytest.fixture
def dotcom() -> Iterator[GitHubServer]:
    with GitHubServer() as server:
        yield server


def comment_on(github: GitHubServer, *, key: str = "prod/dagster_cloud.yaml") -> PullRequestComment:
    return PullRequestComment(github.repository, "7", github.token, github.api_url, key=key)


def bodies(github: GitHubServer) -> list[str]:
    return [comment.body for comment in github.comments(7)]


def methods(github: GitHubServer) -> list[str]:
    return [request.method for request in github.requests]


def problem(notice: Notice | None) -> str:
    assert notice is not None
    assert notice.text.startswith("the comment on pull request 7 could not be written: ")
    return notice.text


def test_the_first_update_makes_the_comment_and_later_ones_edit_it(github: GitHubServer) -> None:
    github.add_comment(7, "LGTM", login="somebody")
    comment = comment_on(github)
    assert comment.update("building") is None
    assert comment.update("ready") is None
    assert bodies(github) == ["LGTM", f"{MARKER}\nready"]
    assert methods(github) == ["GET", "POST", "PATCH"]


def test_the_comment_of_an_earlier_run_is_found_behind_many_others_whoever_wrote_it(github: GitHubServer) -> None:
    for number in range(205):
        github.add_comment(7, f"talk {number}; see {MARKER}", login="somebody")
    ours = github.add_comment(7, f"{MARKER}\r\nold", login="the-company-bot")
    assert comment_on(github).update("new") is None
    assert ours.body == f"{MARKER}\nnew"
    assert len(bodies(github)) == 206


def test_two_workspaces_have_a_comment_each(dotcom: GitHubServer) -> None:
    keys = ["prod/a.yaml", "prod/a.yaml2", "prod/--> <b>", "prod/-- >"]
    for body in ("one", "two"):
        for key in keys:
            assert comment_on(dotcom, key=key).update(body) is None
    assert [body.splitlines()[1] for body in bodies(dotcom)] == ["two"] * 4
    for body in bodies(dotcom):
        assert body.splitlines()[0].count("--") == 2


def test_a_comment_that_was_deleted_is_made_again(dotcom: GitHubServer) -> None:
    comment = comment_on(dotcom)
    comment.update("building")
    dotcom._comments.clear()  # noqa: SLF001
    assert comment.update("ready") is None
    assert bodies(dotcom) == [f"{MARKER}\nready"]


def test_without_permission_one_warning_names_the_line_to_add_and_nothing_more_is_tried(
    github: GitHubServer,
) -> None:
    github.may_write = False
    comment = comment_on(github)
    said = problem(comment.update("building"))
    assert "403 (Resource not accessible by integration)" in said
    assert PERMISSION in said
    asked = len(github.requests)
    assert comment.update("ready") is None
    assert len(github.requests) == asked
    assert bodies(github) == []


def test_a_repository_that_may_not_be_seen_is_told_with_the_line_to_add(dotcom: GitHubServer) -> None:
    comment = PullRequestComment("hooli/hidden", "7", dotcom.token, dotcom.api_url, key="prod")
    said = problem(comment.update("building"))
    assert "404 (Not Found)" in said
    assert PERMISSION in said


@pytest.mark.parametrize("token", [None, "", "wrong", "of two\nlines", "schlüssel"])
def test_a_missing_or_wrong_token_is_a_warning_that_does_not_repeat_it(
    dotcom: GitHubServer, token: str | None
) -> None:
    said = problem(
        PullRequestComment(dotcom.repository, "7", token, dotcom.api_url, key="prod").update("building")
    )
    assert "GITHUB_TOKEN" in said
    assert not token or (token not in said and repr(token)[1:-1] not in said)
    assert bodies(dotcom) == []


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_is_told_as_such_and_the_next_update_tries_again(dotcom: GitHubServer, status: int) -> None:
    dotcom.inject("POST", faults.Status(status, "60"), times=2)
    comment = comment_on(dotcom)
    said = problem(comment.update("building"))
    assert "rate limit" in said
    assert PERMISSION not in said
    assert comment.update("still building") is None
    assert comment.update("ready") is None
    assert bodies(dotcom) == [f"{MARKER}\nready"]


@pytest.mark.parametrize("method", ["GET", "PATCH"])
@pytest.mark.parametrize("fault", [faults.Status(502), faults.Reset()], ids=["502", "reset"])
def test_a_passing_trouble_is_overcome(dotcom: GitHubServer, method: str, fault: faults.Fault) -> None:
    comment_on(dotcom).update("old")
    dotcom.inject(method, fault, times=1)
    assert comment_on(dotcom).update("new") is None
    assert bodies(dotcom) == [f"{MARKER}\nnew"]


def test_a_comment_whose_making_was_not_confirmed_is_not_made_twice(dotcom: GitHubServer) -> None:
    dotcom.inject("POST", faults.Status(502), times=1)
    comment = comment_on(dotcom)
    assert "502" in problem(comment.update("building"))
    # It did come into being.
    dotcom.add_comment(7, f"{MARKER}\nbuilding")
    assert comment.update("ready") is None
    assert bodies(dotcom) == [f"{MARKER}\nready"]


def test_lasting_trouble_is_told_once(dotcom: GitHubServer) -> None:
    dotcom.inject("GET", faults.Reset())
    comment = comment_on(dotcom)
    problem(comment.update("building"))
    assert comment.update("ready") is None
    nowhere = PullRequestComment("a/b", "7", "token", "http://127.0.0.1:9", key="prod")
    assert "cannot be reached: Connection refused" in problem(nowhere.update("building"))
    strange = PullRequestComment("a/b", "7", "token", "gopher://x", key="prod")
    problem(strange.update("building"))


def test_an_api_that_is_none_is_a_warning(dotcom: GitHubServer) -> None:
    dotcom.add_comment(7, f"{MARKER}\nold")
    dotcom.inject("GET", faults.Status(200), times=1)
    assert "no list of comments" in problem(comment_on(dotcom).update("new"))


def test_a_stopping_builder_gives_a_silent_server_little_time(
    dotcom: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dotcom.inject("GET", faults.Hang())
    comment = comment_on(dotcom)
    seen: list[float] = []
    import httpx  # noqa: PLC0415

    stream = httpx.Client.stream

    def noting(*arguments: object, timeout: float, **named: object) -> object:
        seen.append(timeout)
        return stream(*arguments, timeout=timeout, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.Client, "stream", noting)
    process.stopping.set()
    try:
        assert "did not answer in time" in problem(comment.update("stopped"))
    finally:
        process.stopping.clear()
    # Asked once, and all that may be left of it is the grace that a stop has.
    assert [1 < seconds <= 1.5 for seconds in seen] == [True]


def test_secrets_do_not_get_into_the_comment(dotcom: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_CLOUD_API_TOKEN", "agent:secret-token")
    comment_on(dotcom).update("see agent:secret-token at https://u:p@host/x?X-Amz-Signature=abc")
    assert bodies(dotcom) == [f"{MARKER}\nsee *** at https://host/x?***"]
