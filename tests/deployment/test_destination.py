"""Details, and the order of what decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.deployment.context import CiContext
from builder.deployment.destination import (
    Details,
    FullDeployment,
    choose_destination,
    find_destination,
    parse_details,
)
from builder.errors import UsageError
from tests.support.repositories import Repository, github, pull_request_event

HEAD = "a" * 40


@pytest.mark.parametrize(
    "text, details",
    [
        ("deployment=prod,commit_hash=local12345", Details("prod", "local12345", None)),
        ("deployment=prod", Details("prod", None, None)),
        (" commit_hash = 1 , deployment = a b ", Details("a b", "1", None)),
        (
            "deployment=x,git_url=https://me:pw@h.example/tree/1?a=b",
            Details("x", None, "https://h.example/tree/1?a=b"),
        ),
    ],
)
def test_details(text: str, details: Details) -> None:
    assert parse_details(text) == details


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prod",
        "deployment",
        "deployment=",
        "commit_hash=1",
        "deployment=prod,",
        "deployment=prod,commit_hash=",
        "deployment=prod,deployment=prod",
        "deployment=prod,branch=x",
        "Deployment=prod",
    ],
)
def test_details_that_are_wrong(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_details(text)
    assert caught.value.exit_code == 2
    assert "deployment=prod,commit_hash=" in str(caught.value.remedy)


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_details_are_told_as_such(text: str) -> None:
    with pytest.raises(UsageError, match="given, but empty"):
        parse_details(text)


class TestDetails:
    def full(self, directory: Path, environ: dict[str, str], text: str) -> FullDeployment:
        details = parse_details(text)
        destination = find_destination(directory, environ, deployment=None, details=details).destination
        assert isinstance(destination, FullDeployment)
        return destination

    def test_override_the_pull_request_and_keep_the_rest_of_its_context(self, tmp_path: Path) -> None:
        environ = dict(github(tmp_path / "event", "pull_request", pull_request_event(HEAD)))
        found = self.full(tmp_path, environ, "deployment=prod,commit_hash=local1")
        assert (found.name, found.git.commit_hash, found.git.url) == ("prod", "local1", None)
        assert (found.git.repo_owner, found.git.base_branch) == ("acme", "develop")

    def test_without_a_hash_have_that_of_the_context(self, tmp_path: Path) -> None:
        environ = dict(github(tmp_path / "event", "pull_request", pull_request_event(HEAD)))
        found = self.full(tmp_path, environ, "deployment=f00")
        assert (found.git.commit_hash, found.git.url) == (
            HEAD,
            f"https://github.com/acme/my.github.io/tree/{HEAD}",
        )
        assert self.full(tmp_path, environ, f"deployment=f00,commit_hash={HEAD}") == found

    def test_have_the_last_word_on_the_url(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "x", origin="https://github.com/acme/x")
        head = repository.commit()
        found = self.full(repository.path, {}, "deployment=f00,git_url=https://h.example/1")
        assert (found.git.commit_hash, found.git.url) == (head, "https://h.example/1")

    def test_work_without_anything_else(self, tmp_path: Path) -> None:
        found = self.full(tmp_path, {}, "deployment=prod,commit_hash=1")
        assert (found.git.commit_hash, found.git.provider, found.git.repo_name) == ("1", None, None)
        assert self.full(tmp_path, {}, "deployment=prod").git.commit_hash is None

    def test_tell_that_a_deployment_is_not_used(self) -> None:
        choice = choose_destination(CiContext(), deployment="staging", details=parse_details("deployment=prod"))
        assert "`--deployment staging` has no effect" in choice.notices[0].text
        same = choose_destination(CiContext(), deployment="prod", details=parse_details("deployment=prod"))
        assert same.notices == ()


@pytest.mark.parametrize("deployment", ["", " "])
def test_an_empty_deployment_is_not_the_default_one(deployment: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        choose_destination(CiContext(), deployment=deployment, details=None)
