"""Git repositories made by git, and what CI providers say about them, in the providers' own shapes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# 2024-05-06T07:08:09Z; the author wrote it a day earlier.
COMMITTED = 1714979289.0


@dataclass(frozen=True)
class Repository:
    """A checkout in `path`."""

    path: Path

    @classmethod
    def create(cls, path: Path, *, branch: str = "main", origin: str | None = None) -> Repository:
        path.mkdir(parents=True)
        repository = cls(path)
        repository.git("init", "-q", "-b", branch)
        if origin:
            repository.git("remote", "add", "origin", origin)
        return repository

    def git(self, *arguments: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            # Submodules are other directories.
            "GIT_ALLOW_PROTOCOL": "file",
            "GIT_AUTHOR_NAME": "Zoë Author",
            "GIT_AUTHOR_EMAIL": "zoe@example.com",
            "GIT_AUTHOR_DATE": "2024-05-05T07:08:09Z",
            "GIT_COMMITTER_NAME": "Com Mitter",
            "GIT_COMMITTER_EMAIL": "com@example.com",
            "GIT_COMMITTER_DATE": "2024-05-06T07:08:09Z",
        }
        argv = ["git", "-C", str(self.path), *arguments]
        finished = subprocess.run(argv, env=environment, check=True, capture_output=True, encoding="utf-8")
        return finished.stdout.strip()

    def commit(self, message: str = "Räume auf\n\nlong words") -> str:
        """An empty commit; its hash."""
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def git(directory: Path, *arguments: str) -> str:
    """What git says in a directory."""
    return Repository(directory).git(*arguments)


def pull_request_event(head_sha: str, /, **changes: object) -> dict[str, object]:
    """The payload of a `pull_request` event, with `changes` to its `pull_request`."""
    user = {"login": "zoe", "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4"}
    request = {
        "number": 12,
        "html_url": "https://github.com/acme/my.github.io/pull/12",
        "state": "open",
        "merged": False,
        "merged_at": None,
        "title": "Tidy up",
        "updated_at": "2024-06-01T00:00:00Z",
        "user": user,
        "head": {
            "ref": "feature/größe#1",
            "sha": head_sha,
            "repo": {"full_name": "acme/my.github.io", "html_url": "https://github.com/acme/my.github.io"},
        },
        "base": {"ref": "develop"},
        "merge_commit_sha": "e" * 40,
    }
    return {"action": "synchronize", "number": 12, "pull_request": request | changes} | repository_event()


def repository_event(**more: object) -> dict[str, object]:
    """The payload of an event that tells of nothing but the repository and `more`."""
    repository = {
        "full_name": "acme/my.github.io",
        "html_url": "https://github.com/acme/my.github.io",
        "default_branch": "main",
    }
    return {"repository": repository, "sender": {"login": "zoe"}, **more}


def github(path: Path, name: str, payload: object, **more: str) -> Mapping[str, str]:
    """The environment of a run for an event, which is written to `path`; "" in `more` stands for "not set"."""
    path.write_bytes(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_REF": "refs/pull/12/merge" if name == "pull_request" else "refs/heads/main",
        "GITHUB_REPOSITORY": "acme/my.github.io",
        "GITHUB_RUN_ID": "77",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "e" * 40,
        **more,
    }
    return {name: value for name, value in environ.items() if value}


def gitlab(**more: str) -> Mapping[str, str]:
    """The environment of a job for a push to main; "" in `more` is left empty, as GitLab does."""
    return {
        "GITLAB_CI": "true",
        "CI_COMMIT_AUTHOR": "Doe, Jane <jane@example.com>",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_MESSAGE": "Räume auf\n\nlong words",
        "CI_COMMIT_REF_NAME": "main",
        "CI_COMMIT_SHA": "c" * 40,
        "CI_COMMIT_TIMESTAMP": "2024-05-06T09:08:09+02:00",
        "CI_DEFAULT_BRANCH": "main",
        "CI_JOB_URL": "https://gitlab.example.com/data/etl/jobs/-/jobs/5",
        "CI_PIPELINE_CREATED_AT": "2024-06-01T00:00:00Z",
        "CI_PIPELINE_SOURCE": "push",
        "CI_PROJECT_NAME": "jobs",
        "CI_PROJECT_PATH": "data/etl/jobs",
        "CI_PROJECT_URL": "https://gitlab.example.com/data/etl/jobs",
        "CI_SERVER_URL": "https://gitlab.example.com",
        **more,
    }


def gitlab_merge_request(**more: str) -> Mapping[str, str]:
    """The environment of a job in a merge request's pipeline."""
    return gitlab(
        **{
            "CI_COMMIT_BRANCH": "",
            "CI_COMMIT_REF_NAME": "refs/merge-requests/7/head",
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_PROJECT_PATH": "data/etl/jobs",
            "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example.com/data/etl/jobs",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_URL": "https://gitlab.example.com/data/etl/jobs",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "develop",
            "CI_MERGE_REQUEST_TITLE": "Tidy up",
        }
        | more
    )
