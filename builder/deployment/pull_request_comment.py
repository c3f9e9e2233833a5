"""One comment on a pull request, kept up to date: GitHub's REST API for issue comments.

By httpx and not by github3.py, which puts `/api/v3` behind any Enterprise host (those of ghe.com have none),
limits the time of a read but not of a request, and takes a third of a second to import.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx

from builder.deployment.context import CiContext
from builder.errors import BuilderError, Notice
from builder.system import http, process
from builder.system.redaction import redacted

_TIMEOUT_SECONDS: Final = 5.0
_STOPPING_TIMEOUT_SECONDS: Final = 1.5
_PAGE: Final = 100
_ATTEMPTS: Final = 2
_PERMISSION: Final = (
    "add `permissions: pull-requests: write` to the job (a pull request from a fork cannot have it)"
)


class PullRequestComment:
    """A comment on a pull request, identified by a hidden marker at its start, no matter who wrote it.

    :param repository: `OWNER/NAME`.
    :param number: of the pull request.
    :param token: `GITHUB_TOKEN`; None or empty where the job does not have it.
    :param api_url: `GITHUB_API_URL`, of github.com or of any GitHub Enterprise.
    :param key: what the comment is about; a repository with two workspaces needs two.
    """

    def __init__(self, repository: str, number: str, token: str | None, api_url: str, *, key: str) -> None:
        self._repository = f"{api_url.rstrip('/')}/repos/{quote(repository, safe='/')}"
        self._number = quote(number, safe="")
        self._token = (token or "").strip()
        # Two hyphens would end an HTML comment.
        self._marker = f"<!-- dagster-builder: {quote(key, safe=' /.').replace('--', '%2D%2D')} -->"
        self._id: int | None = None
        self._hopeless = False
        self._reported = False
        self._lock = threading.Lock()

    def update(self, body: str) -> Notice | None:
        """Give the comment this body of markdown, making it if there is none.

        Never fails: what is in the way is a Notice, the first time. Takes 5 seconds for each request, and 1.5 for
        all once the builder is being stopped.
        """
        with self._lock:
            if self._hopeless:
                return None
            try:
                self._update(f"{self._marker}\n{redacted(body)}")
            except _Refused as error:
                self._hopeless = error.hopeless
                problem = str(error)
            except (http.HttpError, BuilderError) as error:
                problem = str(error)
            else:
                return None
            if self._reported:
                return None
            self._reported = True
            return Notice(f"the comment on pull request {self._number} could not be written: {problem}")

    def _update(self, text: str) -> None:
        if not self._token:
            raise _Refused(
                f"there is no GITHUB_TOKEN; pass `${{{{ github.token }}}}` and {_PERMISSION}", hopeless=True
            )
        if not (self._token.isascii() and self._token.isprintable()):
            # The HTTP client would show it.
            raise _Refused("GITHUB_TOKEN contains characters that no token has", hopeless=True)
        headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {self._token}"}
        with http.client(connections=1, timeout=httpx.Timeout(_TIMEOUT_SECONDS), headers=headers) as client:
            api = _Api(client)
            if self._id is None:
                self._id = self._find(api)
            if self._id is not None:
                try:
                    api.ask("PATCH", f"{self._repository}/issues/comments/{self._id}", {"body": text})
                except _Gone:
                    # Somebody deleted it.
                    self._id = None
                else:
                    return
            made = api.ask("POST", f"{self._repository}/issues/{self._number}/comments", {"body": text})
            self._id = _id_of(made)

    def _find(self, api: _Api) -> int | None:
        page = 1
        while True:
            url = f"{self._repository}/issues/{self._number}/comments?per_page={_PAGE}&page={page}"
            comments = api.ask("GET", url)
            if not isinstance(comments, list):
                raise _Refused("GitHub's answer is no list of comments")
            for comment in comments:
                if str(comment.get("body") if isinstance(comment, dict) else "").startswith(self._marker):
                    return _id_of(comment)
            if len(comments) < _PAGE:
                return None
            page += 1


class _Refused(Exception):
    """GitHub refuses a request; `hopeless` if it always will."""

    def __init__(self, problem: str, *, hopeless: bool = False) -> None:
        super().__init__(problem)
        self.hopeless = hopeless


class _Gone(_Refused):
    """What is asked for does not exist, or may not be seen."""


class _Api:
    """The requests of one update."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._stopping = process.stopping.is_set()
        self._end = time.monotonic() + _STOPPING_TIMEOUT_SECONDS

    def ask(self, method: str, url: str, content: object = None) -> object:
        """The JSON of an answer; a request that can be repeated is retried once.

        Raises _Refused, HttpError.
        """
        attempts = 1 if method == "POST" or self._stopping else _ATTEMPTS
        return http.retrying(lambda: self._once(method, url, content), attempts=attempts)

    def _once(self, method: str, url: str, content: object) -> object:
        end = self._end if self._stopping else time.monotonic() + _TIMEOUT_SECONDS
        left = max(end - time.monotonic(), 0.01)
        host = httpx.URL(url).host
        try:
            with self._client.stream(method, url, json=content, timeout=left) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if time.monotonic() > end:
                        raise http.HttpError(f"`{host}` answers too slowly", transient=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise http.network_error(error, host) from error
        if response.status_code >= 500:
            raise http.refused(response, host)
        limited = response.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in response.headers
        if response.status_code == 429 or (response.status_code == 403 and limited):
            raise _Refused(f"GitHub answers {response.status_code}: its rate limit is reached")
        return _understood(response.status_code, b"".join(chunks))


def _understood(status: int, answer: bytes) -> object:
    if status < 300:
        try:
            return json.loads(answer)
        except ValueError:
            raise _Refused("GitHub's answer is no JSON") from None
    try:
        said = str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        said = ""
    problem = f"GitHub answers {status}" + (f" ({said})" if said else "")
    match status:
        case 401:
            raise _Refused(f"{problem}: it refuses the GITHUB_TOKEN", hopeless=True)
        case 403:
            raise _Refused(f"{problem}; {_PERMISSION}", hopeless=True)
        case 404 | 410:
            raise _Gone(f"{problem}; {_PERMISSION}", hopeless=True)
        case _:
            raise _Refused(problem)


def _id_of(comment: object) -> int:
    number = comment.get("id") if isinstance(comment, dict) else None
    if not isinstance(number, int):
        raise _Refused("GitHub's answer is no comment")
    return number


def comment_of_run(workspace: Path, context: CiContext, environ: Mapping[str, str]) -> PullRequestComment | None:
    """The comment on the pull request that a run is for; None if it is for none.

    :param workspace: as the user named it: each workspace of a repository has a comment of its own.
    """
    if context.provider != "github" or context.pull_request is None or context.repository is None:
        return None
    return PullRequestComment(
        context.repository,
        context.pull_request.number,
        environ.get("GITHUB_TOKEN"),
        environ.get("GITHUB_API_URL") or "https://api.github.com",
        key=os.path.relpath(workspace, environ.get("GITHUB_WORKSPACE") or None),
    )
