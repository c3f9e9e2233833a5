"""Reading a repository with git: files, commit, tags and changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from builder.errors import PackagesError, UsageError
from builder.system import git, process

_NO_DIRECTORIES: Final = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
"""Outside git: directories that never hold source files."""


_DIFF: Final = (
    *("-z", "--name-only", "--relative", "--no-renames", "--no-ext-diff", "--no-textconv"),
    # Whether a submodule has uncommitted changes would be asked of a git that obeys the submodule's configuration.
    "--ignore-submodules=dirty",
)


def list_files(root: Path) -> list[str]:
    """The files of a repository, relative to `root`, sorted: those of git and those that git does not ignore.

    Outside git: all but hidden directories and what programs leave. Raises PackagesError if git cannot answer.
    """
    if commit_of(root) is None and not _is_repository(root):
        return sorted(_walk(root))
    listed = _ask(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    # A file that is in the index may have been removed.
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def directory_links(root: Path) -> dict[str, str]:
    """The links of a repository that mean a directory of the repository: where they lie, and what they mean.

    Both relative to `root`, with slashes. None outside git.
    """
    if not _is_repository(root):
        return {}
    root = root.resolve()
    listed = _ask(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    links = {name: (root / name).resolve() for name in listed if name and (root / name).is_symlink()}
    return {
        name: target.relative_to(root).as_posix()
        for name, target in sorted(links.items())
        if target.is_dir() and target != root and target.is_relative_to(root)
    }


def commit_of(root: Path) -> str | None:
    """The full hash of the commit that is checked out; None outside git, or before the first commit."""
    if not _is_repository(root):
        return None
    return _ask(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False).strip() or None


def commit_time(root: Path) -> int | None:
    """When the commit that is checked out was made, in seconds since 1970; None outside git."""
    if commit_of(root) is None:
        return None
    return int(_ask(root, "log", "-1", "--format=%ct", "HEAD"))


def tags(root: Path) -> list[str]:
    """The names of all tags that this clone has; none outside git."""
    return _ask(root, "tag", "--list").split() if _is_repository(root) else []


def changed_files(root: Path, reference: str) -> list[str]:
    """The files below `root` that differ from where the branch left `reference`, uncommitted ones included.

    Relative to `root`. Raises UsageError if git does not know `reference`, or not what both have in common.
    """
    if not _is_repository(root):
        raise UsageError(
            f"`{root}` is not in a git repository, so changes are unknown",
            remedy="Leave out --changed-since",
        )
    # `--end-of-options`: a reference that begins with a dash is no option.
    base = _ask(root, "merge-base", "--end-of-options", reference, "HEAD", check=False).strip()
    if not base:
        raise UsageError(
            f"git does not know `{reference}`, or no commit that it has in common with HEAD",
            remedy="Fetch it with its history, in GitHub Actions with `fetch-depth: 0` of actions/checkout",
        )
    differing = _ask(root, "diff", *_DIFF, base, "--", ".")
    new = _ask(root, "ls-files", "-z", "--others", "--exclude-standard")
    return sorted({name for name in (differing + new).split("\0") if name})


def _is_repository(root: Path) -> bool:
    return git.find_repository(root) is not None


def _ask(root: Path, *arguments: str, check: bool = True) -> str:
    """What git answers; empty where it fails and `check` is false. Raises PackagesError if it fails otherwise."""
    try:
        with git.open_repository(root) as repository:
            return repository.run(*arguments, directory=root).stdout
    except process.ProcessFailed as error:
        if not check:
            return ""
        raise PackagesError(f"git cannot list the files of `{root}`", detail=error.detail) from error


def _walk(root: Path) -> Iterator[str]:
    for directory, subdirectories, files in os.walk(root):
        subdirectories[:] = [
            name for name in subdirectories if not name.startswith(".") and name not in _NO_DIRECTORIES
        ]
        yield from (Path(directory, name).relative_to(root).as_posix() for name in files)
