"""GitHub's REST API, as far as comments on pull requests, their heads and commits go; also as GitHub Enterprise.

with GitHubServer() as github:                       # or GitHubServer(enterprise=True): below /api/v3 only
    env = {**os.environ, **github.environ()}         # GITHUB_TOKEN, GITHUB_API_URL, GITHUB_REPOSITORY, …
    github.add_comment(7, "LGTM", login="somebody")
    github.may_write = False                         # 403 as to a fork's GITHUB_TOKEN
    github.inject("PATCH", faults.Status(502), times=1)
    …
    assert [comment.body for comment in github.comments(7)] == […]
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Self

from tests.support.cloud import faults, web

TOKEN = "ghs_made-up-token-of-the-test-server"
BOT = "github-actions[bot]"

_LONGEST_BODY = 65536
_PAGE = 30
_LARGEST_PAGE = 100


@dataclass(slots=True)
class Comment:
    """A comment on an issue or pull request."""

    identity: int
    issue: int
    body: str
    login: str


@dataclass(slots=True)
class GitHubRequest:
    """A request that the server got; the path is without the prefix of GitHub Enterprise."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    value: object
    headers: dict[str, str] = field(default_factory=dict)


class GitHubServer:
    """GitHub on loopback with one repository, alive inside the `with` block.

    :param enterprise: whether it is GitHub Enterprise, whose API lies below `/api/v3`.
    """

    def __init__(self, repository: str = "hooli/data-eng", *, enterprise: bool = False) -> None:
        self.repository = repository
        self.token = TOKEN
        self.may_read = True
        self.may_write = True
        self.requests: list[GitHubRequest] = []
        self.commits: dict[str, dict[str, Any]] = {}
        self.pull_requests: list[dict[str, Any]] = []
        self.prefix = "/api/v3" if enterprise else ""
        self._comments: dict[int, Comment] = {}
        self._identities = itertools.count(1001)
        self._faults = faults.FaultPlan()
        self._lock = threading.RLock()
        self._web = web.WebServer(type("Handler", (_Handler,), {"github": self}))
        self.server_url = f"http://{self._web.host}"
        self.api_url = self.server_url + self.prefix

    def __enter__(self) -> Self:
        self._web.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401, PYI036
        self._web.__exit__(*error)

    def inject(self, on: str, fault: faults.Fault, *, times: int | None = None, after: int = 0) -> None:
        """Have something go wrong with requests of a method (`GET`, `POST`, `PATCH`): Status, Reset or Hang."""
        self._faults.add(on, fault, times=times, after=after)

    def heal(self) -> None:
        """From now on everything goes well."""
        self._faults.clear()

    def wait_until_hanging(self, seconds: float = 60) -> None:
        """Until a request hangs (`faults.Hang`)."""
        assert self._web.hanging.wait(seconds), f"nothing hangs; there were {self.requests}"

    def add_comment(self, issue: int, body: str, *, login: str = BOT) -> Comment:
        """Somebody comments."""
        with self._lock:
            comment = Comment(next(self._identities), issue, body, login)
            self._comments[comment.identity] = comment
            return comment

    def comments(self, issue: int) -> list[Comment]:
        """The comments on an issue or pull request, oldest first."""
        with self._lock:
            return [comment for comment in self._comments.values() if comment.issue == issue]

    def add_pull_request(self, number: int, label: str, sha: str) -> None:
        """An open pull request; `label` is the owner of its branch and the branch, with a colon."""
        self.pull_requests.append({"number": number, "state": "open", "head": {"label": label, "sha": sha}})

    def add_commit(self, sha: str, message: str, *, name: str, email: str, date: str, login: str | None) -> None:
        """A commit; `date` as 2026-08-01T12:00:00Z, `login` None if GitHub does not know the author."""
        url = f"{self.server_url}/{self.repository}/commit/{sha}"
        person = {"name": name, "email": email, "date": date}
        account = {"login": login, "avatar_url": f"{self.server_url}/avatars/{login}"} if login else None
        self.commits[sha] = {
            "sha": sha,
            "html_url": url,
            "commit": {"message": message, "author": person, "committer": person},
            "author": account,
            "committer": account,
        }

    def environ(self) -> dict[str, str]:
        """What GitHub Actions tells a step about where it is."""
        return {
            "GITHUB_TOKEN": self.token,
            "GITHUB_API_URL": self.api_url,
            "GITHUB_SERVER_URL": self.server_url,
            "GITHUB_REPOSITORY": self.repository,
        }

    def secrets(self) -> tuple[str, ...]:
        """What must not be in any output or file."""
        return (self.token,)

    def answer(self, request: GitHubRequest) -> _Answer | faults.Fault:
        """What is said to a request, or the fault that is due instead."""
        with self._lock:
            self.requests.append(request)
            fault = self._faults.due({request.method})
            if fault is not None:
                return fault
            return self._refusal(request) or self._route(request)

    def _refusal(self, request: GitHubRequest) -> _Answer | None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not headers.get("user-agent"):
            return _Answer(403, {"message": "Request forbidden by administrative rules: no User-Agent header"})
        if headers.get("authorization", "").split(" ")[0].lower() not in {"bearer", "token"}:
            return _Answer(401, {"message": "Requires authentication"})
        if headers["authorization"].split(" ", 1)[1] != self.token:
            return _Answer(401, {"message": "Bad credentials"})
        if not (self.may_read if request.method == "GET" else self.may_write):
            return _Answer(403, {"message": "Resource not accessible by integration"})
        return None

    def _route(self, request: GitHubRequest) -> _Answer:
        missing = _Answer(404, {"message": "Not Found"})
        parts = urllib.parse.urlsplit(request.path)
        start = f"/repos/{self.repository}"
        path = parts.path.removeprefix(start) if parts.path.startswith(start) else ""
        query = dict(urllib.parse.parse_qsl(parts.query))
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            if request.method == "GET":
                return self._page(int(found[1]), query)
            return self._write(request, int(found[1])) if request.method == "POST" else missing
        if (found := re.fullmatch(r"/issues/comments/(\d+)", path)) and request.method in {"GET", "PATCH"}:
            comment = self._comments.get(int(found[1]))
            if comment is None:
                return missing
            return _Answer(200, self._json(comment)) if request.method == "GET" else self._edit(request, comment)
        if (found := re.fullmatch(r"/commits/([0-9a-f]+)", path)) and request.method == "GET":
            commit = self.commits.get(found[1])
            return _Answer(200, commit) if commit else _Answer(422, {"message": f"No commit found: {found[1]}"})
        named = [each for each in self.pull_requests if each["head"]["label"] == query.get("head")]
        return _Answer(200, named) if path == "/pulls" and request.method == "GET" else missing

    def _page(self, issue: int, query: dict[str, str]) -> _Answer:
        size = min(int(query.get("per_page", _PAGE)), _LARGEST_PAGE)
        page = int(query.get("page", 1))
        every = self.comments(issue)
        last = max(1, -(-len(every) // size))
        url = f"{self.api_url}/repos/{self.repository}/issues/{issue}/comments?per_page={size}&page="
        links = [f'<{url}{page + 1}>; rel="next"', f'<{url}{last}>; rel="last"'] if page < last else []
        shown = every[(page - 1) * size : page * size]
        return _Answer(
            200, [self._json(comment) for comment in shown], {"Link": ", ".join(links)} if links else {}
        )

    def _write(self, request: GitHubRequest, issue: int) -> _Answer:
        if refusal := _body_refusal(request):
            return refusal
        return _Answer(201, self._json(self.add_comment(issue, request.body["body"])))

    def _edit(self, request: GitHubRequest, comment: Comment) -> _Answer:
        if refusal := _body_refusal(request):
            return refusal
        comment.body = request.body["body"]
        return _Answer(200, self._json(comment))

    def _json(self, comment: Comment) -> dict[str, Any]:
        kind = "Bot" if comment.login.endswith("[bot]") else "User"
        html = f"{self.server_url}/{self.repository}/pull/{comment.issue}#issuecomment-{comment.identity}"
        return {
            "id": comment.identity,
            "url": f"{self.api_url}/repos/{self.repository}/issues/comments/{comment.identity}",
            "html_url": html,
            "body": comment.body,
            "user": {"login": comment.login, "type": kind},
        }


def _body_refusal(request: GitHubRequest) -> _Answer | None:
    body = request.body.get("body") if isinstance(request.body, dict) else None
    if not isinstance(body, str) or not body:
        return _Answer(422, {"message": "Validation Failed"})
    if len(body) > _LONGEST_BODY:
        words = f"body is too long (maximum is {_LONGEST_BODY} characters)"
        return _Answer(422, {"message": "Validation Failed", "errors": [{"message": words}]})
    return None


class _Handler(web.Handler):
    github: GitHubServer

    def do_GET(self) -> None:  # noqa: N802
        content = self.body()
        # An Enterprise server's API is nowhere but below its prefix.
        inside = self.path.startswith(self.github.prefix + "/")
        path = self.path.removeprefix(self.github.prefix) if inside else f"(outside of the API){self.path}"
        request = GitHubRequest(self.command, path, self.header_map())
        try:
            request.body = json.loads(content) if content else None
        except ValueError:
            self._reply(request, _Answer(400, {"message": "Problems parsing JSON"}))
            return
        match self.github.answer(request):
            case faults.Status(code, retry_after):
                retry = {"Retry-After": retry_after} if retry_after else {}
                self._reply(request, _Answer(code, {"message": "upstream says no"}, retry))
            case faults.Hang():
                self.hang()
            case _Answer() as answer:
                self._reply(request, answer)
            case _:
                self.reset()

    do_POST = do_GET  # noqa: N815
    do_PATCH = do_GET  # noqa: N815

    def _reply(self, request: GitHubRequest, answer: _Answer) -> None:
        request.status = answer.status
        content = json.dumps(answer.value).encode()
        self.reply(answer.status, content, {"Content-Type": "application/json", **answer.headers})
