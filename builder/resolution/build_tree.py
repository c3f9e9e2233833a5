"""The tree that a local package is built in: a copy of the package, amid all that lies around it in the checkout.

A build may read what lies above its package (`../VERSION`, `../schemas`) and the repository, and it writes where
it likes. So it gets a tree of its own in a scratch directory, with the names and places of the user's. What
belongs is decided as for a source PEX: leftovers, caches and secrets stay out. In a tree of more than `MOST_FILES`
files or `MOST_BYTES` what lies around the package is not copied: symlinks to the files that git tracks stand for
it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.project.exclusions import (
    contents_reason,
    directory_reason,
    file_reason,
    holds_secret,
    parent_info,
)
from builder.project.files import Selection, copy_tree
from builder.project.sources import workspace_root
from builder.resolution.repository import copy_repository, tracked_files
from builder.system import storage
from builder.system.git import Repository, find_repository, open_repository

MOST_FILES: Final = 5_000
MOST_BYTES: Final = 100 << 20

_SMALL: Final = 1 << 20

_WORKSPACE_FILES: Final = ("dagster_cloud.yaml", "dg.toml")


@dataclass(frozen=True, slots=True)
class BuildTree:
    """A tree to build a package in.

    :param package: the package's directory in it.
    :param above: what stands in the tree's paths for `original_above`.
    :param original_above: the directory that the checkout lies in.
    """

    package: Path
    above: Path
    original_above: Path


def root_of(directory: Path) -> Path:
    """The top of what a package's build can see: its repository, else its workspace, else the package alone.

    Of a submodule it is the repository that has the submodule.
    """
    root = directory
    for path in (directory, *directory.parents):
        git = path / ".git"
        if git.is_file() and "/modules/" in git.read_text(encoding="utf-8", errors="replace"):
            root = path
        elif os.path.lexists(git):
            return path
        elif any((path / name).is_file() for name in _WORKSPACE_FILES):
            root = path
    return min((root, workspace_root(directory) or directory), key=lambda path: len(path.parts))


def lay_out(directory: Path, selection: Selection, scratch: Path, out_dir: Path | None) -> BuildTree:
    """Copy a package, and what lies around it, below `scratch`.

    :param selection: the package's own files.
    :param out_dir: where artefacts go; no part of the tree.

    Raises ProjectError for a file of the package that cannot be read, StorageError for one that cannot be written.
    """
    directory = Path(os.path.realpath(directory))
    root = root_of(directory)
    above = scratch / "tree"
    top = above / (root.name or "root")
    package = top / directory.relative_to(root)
    copy_tree(selection, package)
    with contextlib.ExitStack() as stack:
        repository = None
        if find_repository(directory) and shutil.which("git"):
            repository = stack.enter_context(open_repository(directory))
        if root != directory:
            _copy_surroundings(root, top, directory, out_dir, repository)
        if repository is not None:
            work_tree = top / repository.root.relative_to(root)
            copy_repository(repository, work_tree, leftovers=_leftovers(package.relative_to(work_tree)))
    return BuildTree(package, above, root.parent)


def _leftovers(package: Path) -> list[str]:
    """What setuptools leaves in the tree; the user's has none of it, and is not dirty by it."""
    return ["*.egg-info/", f"/{(package / 'build').as_posix()}/"]


def _copy_surroundings(
    root: Path, top: Path, package: Path, out_dir: Path | None, repository: Repository | None
) -> None:
    left_out = {str(package), str(out_dir)}
    entries: list[Path] = []
    size = 0
    made: set[Path] = set()
    for entry in _around(root, left_out):
        size += entry.stat(follow_symlinks=False).st_size
        entries.append(Path(entry.path))
        if len(entries) > MOST_FILES or size > MOST_BYTES:
            break
    else:
        for path in entries:
            _copy(path, root, top, made)
        return
    # Files on the way down to the package are what builds read most: `../VERSION`, `../README.md`.
    way = [path for path in package.parents if path.is_relative_to(root)]
    near = [Path(entry.path) for directory in way for entry in _files(str(directory))]
    for path in near:
        (_copy if path.lstat().st_size <= _SMALL else _link)(path, root, top, made)
    for path in _tracked_around(repository, package) if repository else ():
        if path.parent not in way:
            _link(path, root, top, made)


def _around(root: Path, left_out: Collection[str]) -> Iterator[os.DirEntry[str]]:
    """Files and symlinks below `root` that belong by their names; what cannot be read is passed over."""
    pending = [str(root)]
    while pending:
        directory = pending.pop(0)
        entries = _listing(directory)
        around = parent_info(directory, {entry.name for entry in entries})
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.path not in left_out:
                names = {inside.name for inside in _listing(entry.path)}
                reason = directory_reason(entry.name, Path(directory).name)
                if reason is None and contents_reason(entry.name, names, around) is None:
                    pending.append(entry.path)
        yield from _files(directory)


def _files(directory: str) -> Iterator[os.DirEntry[str]]:
    for entry in _listing(directory):
        if not entry.is_dir(follow_symlinks=False) and file_reason(entry.name, Path(directory).name) is None:
            yield entry


def _listing(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return []


def _tracked_around(repository: Repository, package: Path) -> Iterator[Path]:
    for name in tracked_files(repository):
        parts = ("", *name.split("/"))
        judged = [directory_reason(part, parent) for parent, part in itertools.pairwise(parts[:-1])]
        path = repository.root / name
        if not any(judged) and file_reason(parts[-1], parts[-2]) is None and not path.is_relative_to(package):
            yield path


def _copy(path: Path, root: Path, top: Path, made: set[Path]) -> None:
    target = top / path.relative_to(root)
    _make_parent(target, made)
    try:
        status = path.lstat()
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_file() and not holds_secret(str(path), path.name, status.st_size):
            shutil.copyfile(path, target)
            target.chmod(0o755 if status.st_mode & 0o100 else 0o644)
    except PermissionError:
        # It matters only to a build that wants to read it, which then says so.
        return


def _link(path: Path, root: Path, top: Path, made: set[Path]) -> None:
    target = top / path.relative_to(root)
    if path.is_file() and not holds_secret(str(path), path.name, path.stat().st_size):
        _make_parent(target, made)
        target.symlink_to(path)


def _make_parent(target: Path, made: set[Path]) -> None:
    if target.parent not in made:
        storage.make_directory(target.parent)
        made.add(target.parent)
