"""Running git safely on untrusted checkouts; all uses of git go through this module.

A checkout may come from a stranger, and so may the configuration of its repository. Git would run programs named
in that configuration (`core.fsmonitor`, filters, text converters, hooks, credential helpers), and would accept any
directory with `HEAD`, `objects` and `refs` as a repository, which a pull request can contain. So the repository is
found by its `.git`, and read through a temporary git directory that has only allowed settings, without the user's
configuration, without network access and without secrets in the environment.

This works with git 2.31 and later, such as 2.34 of Ubuntu 22.04: nothing relies on `safe.directory` or
`safe.bareRepository` in `-c`. What reads a checkout works with 2.30, too; there, `GIT_CONFIG_COUNT` has no effect.
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
"""Time limit of one command in seconds."""

_KEPT_SETTINGS: Final = re.compile(
    r"core\.(repositoryformatversion|filemode|ignorecase|precomposeunicode|symlinks|autocrlf|eol)"
    r"|extensions\.[a-z]+|remote\.origin\.url"
)
"""Settings of a repository that cannot run a program. All others are ignored."""

_NOT_LINKED: Final = frozenset({"HEAD", "config", "config.worktree", "hooks", "commondir", "gitdir"})
"""Entries of a git directory that the temporary one does not share."""

_QUESTION: Final[Mapping[str, str]] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    # A partial clone would download missing objects; no protocol is called `none`, so none is allowed.
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
"""Variables that are set while git runs a hook, and select a repository."""

_HASH: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""A full SHA-1 or SHA-256 object name."""

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
"""The user's configuration file for reading: git before 2.38 reads `safe.directory` from there only."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that can be read while the context of `open_repository` is active.

    :param root: the work tree's root, which contains `.git`; symlinks are resolved.
    """

    root: Path
    _environment: Mapping[str, str] = field(repr=False)

    def run(
        self, *arguments: str, directory: Path | None = None, stdin: str = "", also: int = 0
    ) -> process.Finished:
        """Run a git command that only reads, in `directory` (the root by default).

        :param also: an exit code besides 0 that is not a failure.

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
    """Whether `text` is a full object name in lower case."""
    return _HASH.fullmatch(text) is not None


def find_repository(directory: Path) -> Path | None:
    """Find the root of the work tree that contains `directory`: the nearest parent with a valid `.git`.

    In linked worktrees and submodules `.git` is a file. Bare repositories are not found.
    """
    directory = Path(os.path.realpath(directory))
    for candidate in (directory, *directory.parents):
        dot_git = candidate / ".git"
        if dot_git.is_file() or (dot_git / "HEAD").is_file():
            return candidate
    return None


def roots_of(directory: Path) -> list[Path]:
    """The roots of all repositories that `directory` belongs to, that of `find_repository` first.

    Others are those that track a symlink on the way to it, or the directory of a repository: as a submodule, or
    with its files.
    """
    nearest = find_repository(directory)
    roots = [nearest] if nearest else []
    tracked = [*roots, *(path for path in (directory, *directory.parents) if path.is_symlink())]
    for path in tracked:
        outer = find_repository(path.parent)
        if outer and outer not in roots and _tracks(outer, Path(os.path.realpath(path.parent), path.name)):
            roots.append(outer)
            tracked.append(outer)
    return roots


def _tracks(outer: Path, path: Path) -> bool:
    with open_repository(outer) as repository:
        name = str(path.relative_to(outer))
        return repository.run("--literal-pathspecs", "ls-files", "--cached", "--", name).stdout != ""


def clone(location: str, commit: str, directory: Path) -> None:
    """Clone a repository and check out a commit, with submodules, in the new directory `directory`.

    :param location: as for `git clone`. The user and password in a URL are not passed on a command line.
    :param commit: its full hash.

    Git runs with the user's configuration, credential helpers and ssh agent, but without the secrets in the
    environment. Hooks are not run. Raises ToolError; ProcessFailed with git's output.
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
    """Make git use a user and password for a host, until this process ends.

    :param address: scheme and host of a URL.
    :param login: as in a URL: `user:password`, percent-encoded.
    """
    name, _, password = (urllib.parse.unquote(part) for part in login.partition(":"))
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    # As a header, since git passes a URL with its login to a helper on the command line. Git sends the header to
    # this host only, not to the targets of redirects.
    _logins[f"http.{address}/.extraHeader"] = f"Authorization: Basic {token}"


def login_variables() -> Mapping[str, str]:
    """Environment variables that make git use the logins of `remember_login`."""
    return _configuration(_logins) if _logins else {}


_logins: dict[str, str] = {}


def _configuration(settings: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for git settings, appended to those in the caller's environment."""
    count = os.environ.get("GIT_CONFIG_COUNT", "")
    start = int(count) if count.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(start + len(settings))}
    for number, (name, value) in enumerate(settings.items(), start):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _without_login(location: str) -> str:
    """Remember the login in a URL, and return the URL without it for a command line."""
    parts = urllib.parse.urlsplit(location)
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme not in {"http", "https"} or not at:
        return location
    remember_login(f"{parts.scheme}://{host}", login)
    return urllib.parse.urlunsplit(parts._replace(netloc=host))


@contextlib.contextmanager
def open_repository(directory: Path) -> Iterator[Repository]:
    """Open the repository that contains `directory` for reading; it is not changed.

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
    # In a hook, git's variables would select another repository.
    clean = {name: value for name, value in process.clean_environment().items() if not name.startswith("GIT_")}
    return {**clean, **_QUESTION, "HOME": str(home), "XDG_CONFIG_HOME": str(home)}


@functools.cache
def _users_excludes_file() -> str:
    """The user's global gitignore file; empty if there is none."""
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
    """The git directory of a work tree: `.git`, or the one that a file `.git` names."""
    dot_git = root / ".git"
    if dot_git.is_dir():
        return dot_git
    said = dot_git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    return Path(os.path.normpath(root / said))


def _own_git_directory(source: Path, ours: Path, environment: Mapping[str, str]) -> Path:
    """Make a git directory that shares everything with another one except its configuration and hooks."""
    ours.mkdir()
    common = source
    if (source / "commondir").is_file():
        common = source / (source / "commondir").read_text(encoding="utf-8").strip()
    # In a linked worktree, its own entries take precedence over the shared ones.
    entries = {
        entry.name: entry
        for directory in (common, source)
        for entry in directory.iterdir()
        if entry.name not in _NOT_LINKED
    }
    for name, entry in entries.items():
        (ours / name).symlink_to(os.path.realpath(entry))
    head = source / "HEAD"
    # In old repositories HEAD is a symlink to the branch.
    content = f"ref: {head.readlink()}\n" if head.is_symlink() else head.read_text(encoding="utf-8")
    (ours / "HEAD").write_text(content, encoding="utf-8")
    (ours / "config").write_text("".join(_kept_settings(common / "config", environment)), encoding="utf-8")
    return ours


def _kept_settings(config: Path, environment: Mapping[str, str]) -> Iterator[str]:
    # With `--file`, git does not read included files.
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
