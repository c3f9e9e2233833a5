"""The branch, commit and remote of a git checkout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builder.deployment.context import Commit, Provider, commit_url
from builder.errors import ToolError
from builder.system.git import Repository, is_hash, open_repository

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[^]]+\]|[^:/\[]+):(?P<path>.+)")
"""`[user@]host:path`, see git-fetch(1), "GIT URLS"."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository on a server.

    :param name: "owner/name"; the owner may nest.
    :param url: where a browser finds it, without credentials; None where only ssh knows the host.
    """

    name: str
    url: str | None
    provider: Provider | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory under git.

    :param branch: None if HEAD is detached.
    :param commit: of HEAD; None if there is none yet.
    :param default_branch: of `origin`, as far as this clone has heard of it.
    """

    branch: str | None
    commit: Commit | None
    origin: Remote | None
    default_branch: str | None


def read_checkout(directory: Path) -> Checkout:
    """Read the checkout that `directory` lies in.

    Raises ToolError if git is missing, finds no repository or cannot read it.
    """
    with open_repository(directory) as repository:
        head = _ask(repository, "symbolic-ref", "-q", "HEAD")
        origin = parse_remote(_ask(repository, "config", "--get", "remote.origin.url"))
        default = _ask(repository, "symbolic-ref", "-q", "refs/remotes/origin/HEAD")
        born = _ask(repository, "rev-parse", "-q", "--verify", "HEAD")
        commit = _log(repository, "HEAD", origin) if born else None
    return Checkout(
        # Not --short: where a tag has the same name, that says `heads/main`.
        branch=head.removeprefix("refs/heads/") or None,
        commit=commit,
        origin=origin,
        default_branch=default.removeprefix("refs/remotes/origin/") or None,
    )


def read_commit(directory: Path, commit_hash: str) -> Commit | None:
    """The commit of that hash, without URLs; None if git cannot tell, as where a shallow clone lacks it."""
    if not is_hash(commit_hash):
        return None
    try:
        with open_repository(directory) as repository:
            return _log(repository, commit_hash, None)
    except ToolError:
        return None


def parse_remote(url: str) -> Remote | None:
    """Take a git remote's URL apart (git-fetch(1), "GIT URLS"); None if it names no repository on a server.

    User, password and a port of ssh are dropped, `.git` at the very end too (`my.github.io` stays whole).
    """
    url = url.strip()
    host, path, scheme, port = "", "", "https", None
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, path = parts.hostname or "", parts.path
            if parts.scheme in {"http", "https"}:
                scheme, port = parts.scheme, parts.port
        except ValueError:
            return None
    elif match := _SCP_LIKE.fullmatch(url):
        host, path = match["host"].strip("[]").lower(), match["path"]
    name = path.strip("/").removesuffix(".git")
    owner, _, last = name.rpartition("/")
    if not (host and owner and last):
        return None
    # Without a dot it is a name from ~/.ssh/config or of the local network: no browser would find it.
    reachable = "." in host and (url.startswith("http") or ":" not in host)
    address = f"{scheme}://{host}{f':{port}' if port else ''}/{name}"
    return Remote(name, address if reachable else None, _provider(host))


def _provider(host: str) -> Provider | None:
    if "gitlab" in host:
        return "gitlab"
    return "github" if "github" in host else None


def _log(repository: Repository, revision: str, origin: Remote | None) -> Commit:
    arguments = ("log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an%x00%ae%x00%s")
    answer = repository.run(*arguments, revision, "--").stdout.removesuffix("\n")
    commit_hash, timestamp, name, email, subject = answer.split("\0")
    url = commit_url(origin.provider, origin.url, commit_hash) if origin else None
    # A commit with a broken date has none for git.
    return Commit(
        hash=commit_hash,
        timestamp=float(timestamp or 0),
        message=subject,
        author_name=name or None,
        author_email=email or None,
        url=url,
    )


def _ask(repository: Repository, *arguments: str) -> str:
    """One line that git says; empty where there is none."""
    return repository.run(*arguments, also=1).stdout.removesuffix("\n")
