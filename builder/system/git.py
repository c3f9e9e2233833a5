"""The one place that runs git.

A checkout may be a stranger's: its files are data, and so is its repository. Git itself would run programs that a
repository's configuration names (`core.fsmonitor`, filters, text converters, hooks, credential helpers), and would
take any directory that holds `HEAD`, `objects` and `refs` for a repository, which a pull request can commit. So
questions go to a repository that is found by its `.git`, through a git directory of our own whose configuration is
an allow list, without the user's configuration, without the network and without secrets in the environment.

Git 2.34 (Ubuntu 22.04) is enough: nothing here relies on `safe.directory` or `safe.bareRepository` in `-c`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from builder.errors import ToolError
from builder.system import process, storage

_TIMEOUT_SECONDS: Final = 120.0
"""Seconds that one command may take."""

_KEPT_SETTINGS: Final = re.compile(
    r"core\.(repositoryformatversion|filemode|ignorecase|precomposeunicode|symlinks|autocrlf|eol)"
    r"|extensions\.[a-z]+|remote\.origin\.url"
)
"""Settings of a repository that are data. All others stay unread: git has too many that name a program."""

_NOT_LINKED: Final = frozenset({"HEAD", "config", "config.worktree", "hooks", "commondir", "gitdir"})
"""Entries of a git directory that ours does not share with it."""

_QUESTION: Final[Mapping[str, str]] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    # A partial clone would fetch what it lacks; no protocol has this name.
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}

_CLONE_TIME_LIMIT: Final = 600.0

_CLONE_SETTINGS: Final[Mapping[str, str]] = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "protocol.ext.allow": "never",
    "safe.bareRepository": "explicit",
}

REDIRECTING: Final = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE"),
)
"""Set while git runs a hook: they say that the repository is another."""

_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""A whole SHA-1 or SHA-256 object name."""

_OWN_CONFIGURATION: Final = """\
[safe]
	directory = *
	bareRepository = explicit
[core]
	fsmonitor = false
	hooksPath = /dev/null
	sshCommand = false
[protocol]
	allow = never
"""
"""Of questions, as the user's own file: git before 2.38 believes `safe.directory` nowhere else."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that can be asked while `open_repository` is open.

    :param root: of the work tree: the directory that has the `.git`; a real path.
    """

    root: Path
    _environment: Mapping[str, str] = field(repr=False)

    def run(
        self, *arguments: str, directory: Path | None = None, stdin: str = "", also: int = 0
    ) -> process.Finished:
        """Run a git command that only reads, in `directory` (the root by default).

        :param also: an exit code besides 0 that is an answer.

        Raises ToolError if git is missing, ProcessFailed if it fails.
        """
        argv = ["git", *arguments]
        cwd = directory or self.root
        finished = process.run(
            argv, env=self._environment, cwd=cwd, stdin=stdin, timeout=_TIMEOUT_SECONDS, check=False
        )
        if finished.code not in (0, also):
            raise process.ProcessFailed(finished.argv, finished.code, finished.stdout, finished.stderr)
        return finished


def is_hash(text: str) -> bool:
    """Whether `text` is a whole object name in lower case."""
    return _HASH.fullmatch(text) is not None


def find_repository(directory: Path) -> Path | None:
    """The nearest directory, from `directory` upwards, that is under git: it has a `.git` that git would accept.

    A linked worktree and a submodule have a file of that name. A bare repository is none.
    """
    directory = Path(os.path.realpath(directory))
    for candidate in (directory, *directory.parents):
        dot_git = candidate / ".git"
        if dot_git.is_file() or (dot_git / "HEAD").is_file():
            return candidate
    return None


def clone(location: str, commit: str, directory: Path) -> None:
    """Make `directory` a checkout of a commit, with its submodules; it must not exist yet.

    :param location: as `git clone` takes it. The user and password of a URL are no part of any command line.
    :param commit: its full hash.

    The user's own git fetches: with the user's configuration, credential helpers and ssh agent, but without the
    secrets of the environment. Hooks are not run. Raises ToolError, ProcessFailed in git's words.
    """
    if not is_hash(commit):
        raise ToolError(f"`{commit}` is not the hash of a commit")
    address = _without_login(location)
    env = process.clean_environment({**process.users_access(), "GIT_TERMINAL_PROMPT": "0"})
    env |= _configuration({**_CLONE_SETTINGS, **_logins})
    for name in REDIRECTING:
        env.pop(name, None)
    for cwd, arguments in (
        (directory.parent, ("clone", "--quiet", "--no-checkout", "--", address, str(directory))),
        (directory, ("checkout", "--quiet", "--detach", commit)),
        (directory, ("submodule", "--quiet", "update", "--init", "--recursive")),
    ):
        process.run(["git", *arguments], env=env, cwd=cwd, timeout=_CLONE_TIME_LIMIT)


def remember_login(address: str, login: str) -> None:
    """Have git present a user and password to a host, until this process ends.

    :param address: scheme and host of a URL.
    :param login: as it stands in a URL: `user:password`, quoted.
    """
    name, _, password = (urllib.parse.unquote(part) for part in login.partition(":"))
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    # As a header: git gives the URL that it asks, login included, to a helper on the command line. It sends the
    # header to this host only, not where that redirects to.
    _logins[f"http.{address}/.extraHeader"] = f"Authorization: Basic {token}"


def login_variables() -> Mapping[str, str]:
    """The environment for a program that runs git, so that git presents what `remember_login` was given."""
    return _configuration(_logins) if _logins else {}


_logins: dict[str, str] = {}


def _configuration(settings: Mapping[str, str]) -> dict[str, str]:
    """Variables that are settings of git, after those that the caller's environment has."""
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    start = int(count) if count.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for number, (name, value) in enumerate(settings.items(), start):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _without_login(location: str) -> str:
    """A URL as it may stand on a command line; git presents its login all the same."""
    parts = urllib.parse.urlsplit(location)
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in {"http", "https"} or not at:
        return location
    remember_login(f"{parts.scheme}://{host}", login)
    return urllib.parse.urlunsplit(parts._replace(netloc=host))


@contextlib.contextmanager
def open_repository(directory: Path) -> Iterator[Repository]:
    """Make the repository that `directory` lies in ready for questions; nothing of it changes.

    Raises ToolError if there is none, or if git cannot read its configuration.
    """
    root = find_repository(directory)
    if root is None:
        raise ToolError(f"`{directory}` is not in a git repository", detail="not a git repository")
    with storage.scratch_directory() as scratch:
        environment = _question_environment(scratch)
        try:
            ours = _own_git_directory(_git_directory(root), scratch / "git", environment)
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(f"git cannot read the repository in `{root}`", detail=str(error)) from error
        yield Repository(root, {**environment, "GIT_DIR": str(ours), "GIT_WORK_TREE": str(root)})


def _question_environment(scratch: Path) -> dict[str, str]:
    home = storage.make_directory(scratch / "home")
    excludes = _users_excludes_file()
    text = _OWN_CONFIGURATION + (f"[core]\n\texcludesFile = {_quoted(excludes)}\n" if excludes else "")
    (home / ".gitconfig").write_text(text, encoding="utf-8")
    # A hook sets variables that would redirect a question to another repository.
    clean = {name: value for name, value in process.clean_environment().items() if not name.startswith("GIT_")}
    return {**clean, **_QUESTION, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}


@functools.cache
def _users_excludes_file() -> str:
    """The user's own file of what is ignored everywhere; empty if there is none."""
    try:
        command = ["git", "config", "--global", "--type=path", "--get", "core.excludesFile"]
        finished = process.run(command, env=process.clean_environment(), cwd=Path("/"), check=False, timeout=30)
    except ToolError:
        return ""
    if configured := finished.stdout.removesuffix("\n"):
        return configured
    usual = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "git", "ignore")
    return str(usual) if usual.is_file() else ""


def _git_directory(root: Path) -> Path:
    """Where the repository of a work tree lies: `.git`, or what the file of that name says."""
    dot_git = root / ".git"
    if dot_git.is_dir():
        return dot_git
    said = dot_git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return Path(os.path.normpath(root / said))


def _own_git_directory(source: Path, ours: Path, environment: Mapping[str, str]) -> Path:
    """A git directory that shares everything with another one but its configuration and its hooks."""
    ours.mkdir()
    common = source
    if (source / "commondir").is_file():
        common = source / (source / "commondir").read_text(encoding="utf-8").strip()
    # Of a linked worktree: what it has itself stands before what all worktrees share.
    entries = {
        entry.name: entry
        for directory in (common, source)
        for entry in directory.iterdir()
        if entry.name not in _NOT_LINKED
    }
    for name, entry in entries.items():
        (ours / name).symlink_to(os.path.realpath(entry))
    head = source / "HEAD"
    # Once, HEAD was a symlink to the branch.
    content = f"ref: {head.readlink()}\n" if head.is_symlink() else head.read_text(encoding="utf-8")
    (ours / "HEAD").write_text(content, encoding="utf-8")
    (ours / "config").write_text("".join(_kept_settings(common / "config", environment)), encoding="utf-8")
    return ours


def _kept_settings(config: Path, environment: Mapping[str, str]) -> Iterator[str]:
    # `--file` reads no included files.
    command = ["git", "config", "--file", str(config), "--null", "--list"]
    finished = process.run(command, env=environment, cwd=Path("/"), timeout=_TIMEOUT_SECONDS)
    for entry in finished.stdout.split("\0"):
        key, separator, value = entry.partition("\n")
        if not _KEPT_SETTINGS.fullmatch(key):
            continue
        section, _, name = key.rpartition(".")
        section, _, subsection = section.partition(".")
        heading = f'[{section} "{subsection}"]' if subsection else f"[{section}]"
        # A key without a value means true.
        yield f"{heading}\n\t{name} = {_quoted(value) if separator else 'true'}\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
