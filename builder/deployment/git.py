"""What the git program says about a checkout. It only reads, never asks anybody, never uses the network."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from builder.deployment.context import Commit, Provider, commit_url
from builder.errors import ToolError
from builder.system import process

_PATIENCE = 60.0

_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""A whole SHA-1 or SHA-256 object name."""

_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(?P<host>\[[^]]+\]|[^:/\[]+):(?P<path>.+)")
"""`[user@]host:path`, see git-fetch(1), "GIT URLS"."""

# Kept of git's own variables; the others would redirect our question to another repository (a hook sets them),
# or change the form of the answer.
_KEPT = ("GIT_EXEC_PATH", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM")


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


def is_hash(text: str) -> bool:
    """Whether `text` is a whole object name in lower case."""
    return _HASH.fullmatch(text) is not None


def read_checkout(directory: Path) -> Checkout:
    """Read the checkout that `directory` lies in.

    Raises ToolError if git is missing, ProcessFailed if it finds no repository or cannot read it.
    """
    head = _ask(directory, "symbolic-ref", "-q", "HEAD", also=1)
    origin = parse_remote(_ask(directory, "config", "--get", "remote.origin.url", also=1))
    default = _ask(directory, "symbolic-ref", "-q", "refs/remotes/origin/HEAD", also=1)
    born = _ask(directory, "rev-parse", "-q", "--verify", "HEAD", also=1)
    return Checkout(
        # Not --short: where a tag has the same name, that says `heads/main`.
        branch=head.removeprefix("refs/heads/") or None,
        commit=_log(directory, "HEAD", origin) if born else None,
        origin=origin,
        default_branch=default.removeprefix("refs/remotes/origin/") or None,
    )


def read_commit(directory: Path, commit_hash: str) -> Commit | None:
    """The commit of that hash, without URLs; None if git cannot tell, as where a shallow clone lacks it."""
    if not is_hash(commit_hash):
        return None
    try:
        return _log(directory, commit_hash, None)
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


def _log(directory: Path, revision: str, origin: Remote | None) -> Commit:
    arguments = ("log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an%x00%ae%x00%s")
    commit_hash, timestamp, name, email, subject = _ask(directory, *arguments, revision, "--").split("\0")
    url = commit_url(origin.provider, origin.url, commit_hash) if origin else None
    # A commit with a broken date has none for git.
    return Commit(commit_hash, float(timestamp or 0), subject, name or None, email or None, url)


def _ask(directory: Path, *arguments: str, also: int = 0) -> str:
    """What git says, without the last line's end. `also`: an exit code that means "nothing" instead of failure."""
    environment = {
        name: value
        for name, value in process.clean_environment().items()
        if not name.startswith("GIT_") or name in _KEPT
    }
    try:
        with tempfile.TemporaryDirectory() as home:
            # In a container the checkout often belongs to another user, which git takes for an attack. Until 2.38
            # (and in the versions that distributions mended) it believes `safe.directory` from the user's own
            # file only, neither from `-c` nor from the environment. An own file also keeps the answer's form.
            (Path(home) / ".gitconfig").write_text("[safe]\n\tdirectory = *\n", encoding="ascii")
            environment |= {
                "HOME": home,
                "XDG_CONFIG_HOME": home,
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_OPTIONAL_LOCKS": "0",
                # A partial clone would fetch what it lacks; no protocol has this name.
                "GIT_ALLOW_PROTOCOL": "none",
            }
            argv = ["git", "-C", os.fspath(directory), *arguments]
            finished = process.run(argv, env=environment, timeout=_PATIENCE, check=False)
    except OSError as error:
        raise ToolError(f"could not prepare to run `git`: {error}") from error
    if finished.code not in (0, also):
        raise process.ProcessFailed(finished.argv, finished.code, finished.stdout, finished.stderr)
    return finished.stdout.removesuffix("\n")
