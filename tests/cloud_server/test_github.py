"""The GitHub of tests/support/cloud keeps comments as GitHub does, for those who may."""

from __future__ import annotations

import httpx
import pytest

from tests.support.cloud import faults
from tests.support.cloud.github import GitHubServer
from tests.support.cloud.queries import HTTP


@pytest.mark.parametrize("enterprise", [False, True])
def test_github_keeps_comments(enterprise: bool) -> None:  # noqa: FBT001
    with GitHubServer(enterprise=enterprise) as github:
        for number in range(3):
            github.add_comment(7, f"comment {number}")
        github.add_comment(8, "elsewhere")
        api = f"{github.api_url}/repos/{github.repository}"
        with httpx.Client(headers={"Authorization": f"Bearer {github.token}"}) as client:
            pages = []
            url = f"{api}/issues/7/comments?per_page=2"
            while url:
                answer = client.get(url)
                pages.append([comment["body"] for comment in answer.json()])
                url = answer.links.get("next", {}).get("url", "")
            assert pages == [["comment 0", "comment 1"], ["comment 2"]]
            made = client.post(f"{api}/issues/7/comments", json={"body": "building"})
            assert made.status_code == 201
            assert made.json()["user"]["login"] == "github-actions[bot]"
            edited = client.patch(f"{api}/issues/comments/{made.json()['id']}", json={"body": "ready"})
            assert edited.status_code == 200
            assert [comment.body for comment in github.comments(7)][-1] == "ready"
            assert client.patch(f"{api}/issues/comments/1", json={"body": "x"}).status_code == 404
            assert client.post(f"{api}/issues/7/comments", json={"body": "x" * 65537}).status_code == 422
            github.add_commit("abc", "Fix", name="Ada", email="a@b.c", date="2026-08-01T12:00:00Z", login="ada")
            assert client.get(f"{api}/commits/abc").json()["author"]["avatar_url"].endswith("/ada")
            elsewhere = github.server_url if enterprise else f"{github.server_url}/api/v3"
            assert client.get(f"{elsewhere}/repos/{github.repository}/commits/abc").status_code == 404


def test_github_checks_token_and_permission() -> None:
    with GitHubServer() as github:
        url = f"{github.api_url}/repos/{github.repository}/issues/7/comments"
        assert HTTP.get(url).status_code == 401
        assert HTTP.get(url, headers={"Authorization": "Bearer other"}).status_code == 401
        headers = {"Authorization": f"token {github.token}"}
        github.may_write = False
        assert HTTP.get(url, headers=headers).status_code == 200
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 403
        github.may_write = True
        github.inject("POST", faults.Status(502), times=1)
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 502
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 201
