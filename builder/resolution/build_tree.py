"""The directory tree that a local package is built in: a copy of the package and of the checkout around it.

A build may read files above its package (`../VERSION`, `../schemas`) and the repository, and may write anywhere.
So it runs in a scratch directory with the same names and relative paths as the user's checkout. Files are selected
as for a source PEX: build leftovers, caches and secrets are left out. If there are more than `MOST_FILES` files or
`MOST_BYTES` around the package, these are not copied: the files that git tracks become symlinks to the originals.
"""

# There may be a hundred thousand files around a package, and creating a Path for each would take most of the time.
# ruff: noqa: PTH101, PTH115, PTH116, PTH119, PTH120, PTH211

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
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

LEVELS: Final = 4
"""Directories above the parent of the checkout that a backend may name, as by `{root:parent:parent:uri}`."""

ABOVE: Final = "/.directory-above-the-checkout"
"""Placeholder for the checkout's path in cached metadata, which may be used for another checkout."""

_SMALL: Final = 1 << 20

_WORKSPACE_FILES: Final = ("dagster_cloud.yaml", "dg.toml")


@dataclass(frozen=True, slots=True)
class BuildTree:
    """The copied tree that a package is built in.

    :param package: the package's directory in the tree.
    :param above: the parent directory of the tree; takes the place of `original_above` in paths.
    :param original_above: the parent directory of the user's checkout.
    """

    package: Path
    above: Path
    original_above: Path

    @property
    def placeholders(self) -> list[tuple[str, str]]:
        """The paths of the tree's parent and of those above it, with what stands for them in metadata."""
        above = [self.above, *self.above.parents[:LEVELS]]
        return [(str(path), ABOVE + "/.." * level) for level, path in enumerate(above)]


def root_of(directory: Path) -> Path:
    """The top directory that a package's build can see: its repository, else its workspace, else the package.

    For a package in a submodule it is the outer repository.
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


def lay_out(
    directory: Path, selection: Selection, scratch: Path, out_dir: Path | None, *, alone: bool = False
) -> BuildTree:
    """Copy a package and the checkout around it into `scratch`.

    :param selection: the package's own files.
    :param out_dir: the output directory for artefacts, which is left out.
    :param alone: the build reads nothing else but the files of the directories above the package, among which are
        ignore files; where the repository begins is all that it needs to know of it.

    Raises ProjectError for a file of the package that cannot be read, StorageError for one that cannot be written.
    """
    directory = Path(os.path.realpath(directory))
    root = root_of(directory)
    above = scratch.joinpath("tree", *["above"] * LEVELS)
    top = above / (root.name or "root")
    package = top / directory.relative_to(root)
    copy_tree(selection, package)
    if alone:
        _copy_files_above(_Tree(str(root), str(top)), directory)
        if repository_root := find_repository(directory):
            storage.make_directory(top / repository_root.relative_to(root) / ".git")
        return BuildTree(package, above, root.parent)
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
    """Patterns of the files that setuptools writes into the tree, so that they do not make it dirty for git."""
    return ["*.egg-info/", f"/{(package / 'build').as_posix()}/"]


def _copy_surroundings(
    root: Path, top: Path, package: Path, out_dir: Path | None, repository: Repository | None
) -> None:
    size = 0
    paths: list[str] = []
    for entry in _around(str(root), {str(package), str(out_dir)}):
        size += entry.stat(follow_symlinks=False).st_size
        paths.append(entry.path)
        if len(paths) > MOST_FILES or size > MOST_BYTES:
            break
    tree = _Tree(str(root), str(top))
    if len(paths) <= MOST_FILES and size <= MOST_BYTES:
        for path in paths:
            tree.copy(path)
        return
    # Builds mostly read files in the package's parent directories: `../VERSION`, `../README.md`.
    way = _copy_files_above(tree, package)
    for path in _tracked_around(repository, str(package)) if repository else ():
        if path.rpartition("/")[0] not in way:
            tree.link(path)


def _copy_files_above(tree: _Tree, package: Path) -> set[str]:
    """Copy the files of the directories above a package, up to the tree's root; returns these directories."""
    way = {str(path) for path in package.parents if path.is_relative_to(tree.root)}
    for directory in sorted(way):
        for entry in _files(directory, _listing(directory)):
            small = entry.stat(follow_symlinks=False).st_size <= _SMALL
            (tree.copy if small else tree.link)(entry.path)
    return way


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree while it is being copied. Paths are strings, since there may be many.

    :param made: the directories that were created.
    """

    root: str
    top: str
    made: set[str] = field(default_factory=set)

    def copy(self, path: str) -> None:
        """Copy a file or a symlink; secrets and unreadable files are left out."""
        target = self._target(path)
        # A build that needs an unreadable file reports it itself.
        with contextlib.suppress(PermissionError):
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(path), target)
            elif stat.S_ISREG(status.st_mode) and not holds_secret(path, os.path.basename(path), status.st_size):
                shutil.copyfile(path, target)
                os.chmod(target, 0o755 if status.st_mode & 0o100 else 0o644)

    def link(self, path: str) -> None:
        """Create a symlink to a file; secrets and submodules are left out."""
        with contextlib.suppress(OSError):
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode) and not holds_secret(path, os.path.basename(path), status.st_size):
                os.symlink(path, self._target(path))

    def _target(self, path: str) -> str:
        target = self.top + path[len(self.root) :]
        parent = os.path.dirname(target)
        if parent not in self.made:
            storage.make_directory(Path(parent))
            self.made.add(parent)
        return target


def _around(root: str, left_out: Collection[str]) -> Iterator[os.DirEntry[str]]:
    """Files and symlinks below `root` whose names are not excluded; unreadable directories are skipped."""
    pending = [(root, _listing(root))]
    while pending:
        directory, entries = pending.pop(0)
        yield from _files(directory, entries)
        around = parent_info(directory, {entry.name for entry in entries})
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False) or entry.path in left_out:
                continue
            if directory_reason(entry.name, os.path.basename(directory)) is None:
                inside = _listing(entry.path)
                if contents_reason(entry.name, {child.name for child in inside}, around) is None:
                    pending.append((entry.path, inside))


def _files(directory: str, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    parent = os.path.basename(directory)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False) and file_reason(entry.name, parent) is None:
            yield entry


def _listing(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as listing:
            return sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return []


def _tracked_around(repository: Repository, package: str) -> Iterator[str]:
    """The files outside a package that git tracks and whose names are not excluded."""
    belongs = {"": True}

    def judge(directory: str) -> bool:
        known = belongs.get(directory)
        if known is None:
            parent, _, name = directory.rpartition("/")
            known = judge(parent) and directory_reason(name, parent.rpartition("/")[2]) is None
            belongs[directory] = known
        return known

    for name in tracked_files(repository):
        directory, _, last = name.rpartition("/")
        path = f"{repository.root}/{name}"
        outside = not path.startswith(f"{package}/")
        if outside and judge(directory) and file_reason(last, directory.rpartition("/")[2]) is None:
            yield path
