"""Reading a repository's files, commit, tags and changes with git."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from builder.errors import PackagesError, UsageError
from builder.system import git, process

_NO_DIRECTORIES: Final = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
"""Generated directories, which are skipped outside git."""


_DIFF: Final = (
    *("-z", "--name-only", "--relative", "--no-renames", "--no-ext-diff", "--no-textconv"),
    # To see uncommitted changes in a submodule, git would run with the submodule's configuration.
    "--ignore-submodules=dirty",
)


def list_files(root: Path) -> list[str]:
    """The files that git tracks or does not ignore, relative to `root`, sorted.

    Outside git: all files except those in hidden and generated directories. Raises PackagesError if git fails.
    """
    if commit_of(root) is None and not _is_repository(root):
        return sorted(_walk(root))
    listed = _ask(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    # A file in the index may have been deleted.
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def directory_links(root: Path) -> dict[str, str]:
    """The symlinks that point to a directory of the repository, and their targets.

    Both are relative to `root`, with slashes. Empty outside git.
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
    """The full hash of the commit that is checked out; None outside git or before the first commit."""
    if not _is_repository(root):
        return None
    return _ask(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False).strip() or None


def commit_time(root: Path) -> int | None:
    """The time of the commit that is checked out, in seconds since 1970; None outside git."""
    if commit_of(root) is None:
        return None
    return int(_ask(root, "log", "-1", "--format=%ct", "HEAD"))


def tags(root: Path) -> list[str]:
    """The names of all tags in this clone; empty outside git."""
    return _ask(root, "tag", "--list").split() if _is_repository(root) else []


def lines_at(root: Path, tag: str, pattern: str, paths: Sequence[str]) -> list[tuple[str, str]]:
    """The lines of files at a tag that match an extended regular expression, each with the file's path.

    :param paths: of the files, relative to `root`.

    Empty if this clone has the tag without the files, as a partial clone does.
    """
    arguments = ("--literal-pathspecs", "grep", "-I", "-z", "-E", "-e", pattern, tag, "--", *paths)
    lines = _ask(root, *arguments, check=False).splitlines()
    return [(path.removeprefix(f"{tag}:"), text) for path, _, text in (line.partition("\0") for line in lines)]


def changed_files(root: Path, reference: str) -> list[str]:
    """The files below `root` that changed since the merge base with `reference`, including uncommitted changes.

    Paths are relative to `root`. Raises UsageError if `reference` or the merge base is unknown.
    """
    if not _is_repository(root):
        raise UsageError(
            f"`{root}` is not in a git repository, so changes are unknown",
            remedy="Leave out --changed-since",
        )
    # `--end-of-options`: a reference that begins with a dash is not an option.
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
    """Run git and return its output. If git fails, raises PackagesError, or returns "" if `check` is false."""
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
