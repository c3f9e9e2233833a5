"""GitLab CI: merge requests by its variables, pushes like GitHub's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.deployment.destination import BranchDeployment, FullDeployment, ResolvedDestination, find_destination
from builder.errors import ContextError
from tests.support.repositories import COMMITTED, Repository, gitlab, gitlab_merge_request

URL = "https://gitlab.example.com/data/etl/jobs"
HEAD = "a" * 40


def choose(directory: Path, environ: Mapping[str, str], deployment: str | None = None) -> ResolvedDestination:
    return find_destination(directory, environ, deployment=deployment, details=None)


def branch_deployment(directory: Path, environ: Mapping[str, str], base: str | None = None) -> BranchDeployment:
    destination = choose(directory, environ, base).destination
    assert isinstance(destination, BranchDeployment)
    return destination


class TestMergeRequest:
    def test_all_comes_from_the_variables(self, tmp_path: Path) -> None:
        found = branch_deployment(tmp_path, gitlab_merge_request(), "staging")
        assert (found.repository, found.branch, found.status) == ("data/etl/jobs", "feature", "OPEN")
        assert found.branch_url == f"{URL}/-/tree/feature"
        assert found.pull_request is not None
        assert (found.pull_request.number, found.pull_request.url) == ("7", f"{URL}/-/merge_requests/7")
        commit = found.commit
        assert (commit.hash, commit.timestamp, commit.message) == ("c" * 40, COMMITTED, "Räume auf")
        assert (commit.author_name, commit.author_email) == ("Doe, Jane", "jane@example.com")
        assert commit.url == f"{URL}/-/commit/{'c' * 40}"
        assert found.base_deployment == "staging"
        assert found.git.url == f"{URL}/-/tree/{'c' * 40}"
        assert (found.git.provider, found.git.repo_owner, found.git.repo_name) == ("gitlab", "data/etl", "jobs")
        assert found.git.base_branch == "develop"

    def test_a_merged_result_is_told_by_its_head(self, tmp_path: Path) -> None:
        repository = Repository.create(tmp_path / "a b")
        head = repository.commit()
        environ = gitlab_merge_request(CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=head, CI_COMMIT_MESSAGE="Merge 1 into 2")
        found = branch_deployment(repository.path, environ)
        assert (found.commit.hash, found.commit.message) == (head, "Räume auf")
        assert found.commit.author_email == "zoe@example.com"
        assert found.git.commit_hash == head

    def test_a_merged_result_without_its_head_has_nothing_of_the_merge_commit(self, tmp_path: Path) -> None:
        environ = gitlab_merge_request(CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=HEAD)
        commit = branch_deployment(tmp_path, environ).commit
        assert (commit.hash, commit.timestamp, commit.message) == (HEAD, 1717200000.0, "Tidy up")
        assert (commit.author_name, commit.author_email) == (None, None)

    def test_of_a_fork_belongs_to_the_project_that_it_is_for(self, tmp_path: Path) -> None:
        fork = "https://gitlab.example.com/jane/jobs"
        environ = gitlab_merge_request(CI_MERGE_REQUEST_SOURCE_PROJECT_URL=fork)
        for runs_in in ({}, {"CI_PROJECT_PATH": "jane/jobs", "CI_PROJECT_URL": fork}):
            found = branch_deployment(tmp_path, {**environ, **runs_in})
            assert found.repository == "data/etl/jobs"
            assert found.branch_url == f"{fork}/-/tree/feature"
            assert found.pull_request is not None
            assert found.pull_request.url == f"{URL}/-/merge_requests/7"

    @pytest.mark.parametrize(
        "references, repository, number",
        [
            ("data/etl/jobs!3", "data/etl/jobs", "3"),
            ("up/jobs!3", "up/jobs", "3"),
            ("up/jobs!3,data/etl/jobs!4", "data/etl/jobs", "4"),
        ],
    )
    def test_a_branch_with_an_open_one_is_that(
        self, tmp_path: Path, references: str, repository: str, number: str
    ) -> None:
        environ = gitlab(CI_COMMIT_BRANCH="feature", CI_OPEN_MERGE_REQUESTS=references)
        choice = choose(tmp_path, environ, "prod")
        assert isinstance(choice.destination, BranchDeployment)
        assert (choice.destination.repository, choice.destination.branch) == (repository, "feature")
        assert choice.destination.pull_request is not None
        assert choice.destination.pull_request.number == number
        assert choice.destination.pull_request.url.endswith(f"{repository}/-/merge_requests/{number}")
        assert choice.notices == ()

    def test_an_open_one_of_the_default_branch_is_told(self, tmp_path: Path) -> None:
        choice = choose(tmp_path, gitlab(CI_OPEN_MERGE_REQUESTS="data/etl/jobs!3"))
        assert isinstance(choice.destination, BranchDeployment)
        assert f"{URL}/-/merge_requests/3" in choice.notices[0].text


class TestNeverProduction:
    @pytest.mark.parametrize(
        "environ",
        [
            gitlab(CI_OPEN_MERGE_REQUESTS="up/jobs!3,down/jobs!4"),
            gitlab(CI_OPEN_MERGE_REQUESTS="data/etl/jobs!3,data/etl/jobs!4"),
            gitlab(CI_OPEN_MERGE_REQUESTS="data/etl/jobs"),
            gitlab(CI_OPEN_MERGE_REQUESTS="data/etl/jobs!"),
            gitlab(CI_OPEN_MERGE_REQUESTS="data/etl/jobs!3", CI_COMMIT_BRANCH=""),
            gitlab(CI_PIPELINE_SOURCE="merge_request_event"),
            gitlab(CI_PIPELINE_SOURCE="external_pull_request_event"),
            gitlab(CI_COMMIT_REF_NAME="refs/merge-requests/7/head"),
            gitlab(CI_EXTERNAL_PULL_REQUEST_IID="5"),
            gitlab(CI_MERGE_REQUEST_SOURCE_BRANCH_NAME="feature"),
            gitlab_merge_request(CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=""),
            gitlab_merge_request(CI_COMMIT_SHA=""),
            gitlab_merge_request(CI_PROJECT_PATH="", CI_MERGE_REQUEST_PROJECT_PATH=""),
            gitlab_merge_request(CI_COMMIT_TIMESTAMP="yesterday"),
            gitlab_merge_request(CI_PROJECT_URL="", CI_MERGE_REQUEST_PROJECT_URL="", CI_SERVER_URL=""),
            {"CI_MERGE_REQUEST_IID": "7"},
            {"CI_OPEN_MERGE_REQUESTS": "data/etl/jobs!3"},
        ],
    )
    def test_a_merge_request_that_is_not_known_for_certain(
        self, tmp_path: Path, environ: Mapping[str, str]
    ) -> None:
        for deployment in (None, "prod"):
            with pytest.raises(ContextError) as caught:
                choose(tmp_path, environ, deployment)
            assert "--code-location-details deployment=NAME" in str(caught.value.remedy)


class TestPush:
    @pytest.mark.parametrize(
        "environ",
        [gitlab(), gitlab(CI_COMMIT_BRANCH="", CI_COMMIT_TAG="v1"), gitlab(CI_PIPELINE_SOURCE="schedule")],
    )
    def test_to_the_default_branch_or_of_a_tag_goes_to_prod(
        self, tmp_path: Path, environ: Mapping[str, str]
    ) -> None:
        choice = choose(tmp_path, environ)
        assert isinstance(choice.destination, FullDeployment)
        assert (choice.destination.name, choice.notices) == ("prod", ())
        assert choice.destination.git.url == f"{URL}/-/tree/{'c' * 40}"
        assert choice.destination.git.base_branch == "main"
        assert choice.context.run_url == environ["CI_JOB_URL"]

    def test_to_another_branch_says_so(self, tmp_path: Path) -> None:
        environ = gitlab(CI_COMMIT_BRANCH="feature")
        choice = choose(tmp_path, environ)
        assert isinstance(choice.destination, FullDeployment)
        assert choice.destination.name == "prod"
        assert "`feature`" in choice.notices[0].text
        assert choose(tmp_path, environ, "staging").notices == ()

    @pytest.mark.parametrize(
        "environ",
        [
            gitlab(CI_COMMIT_BRANCH=""),
            gitlab(CI_COMMIT_BRANCH="feature", CI_PIPELINE_SOURCE="web"),
            gitlab(CI_COMMIT_BRANCH="feature", CI_PIPELINE_SOURCE="parent_pipeline"),
            gitlab(CI_COMMIT_BRANCH="feature", CI_PIPELINE_SOURCE=""),
        ],
    )
    def test_anything_else_needs_a_deployment(self, tmp_path: Path, environ: Mapping[str, str]) -> None:
        with pytest.raises(ContextError) as caught:
            choose(tmp_path, environ)
        assert "`--deployment NAME`" in str(caught.value.remedy)
        destination = choose(tmp_path, environ, "staging").destination
        assert isinstance(destination, FullDeployment)
        assert destination.name == "staging"
