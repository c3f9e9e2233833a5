"""Copying the git repository of a local package, for its build backend.

Some backends read the version or a list of files from git. They get a copy: the commits and tags of the user's
repository, its index, and the same modified files, but no hooks and no configuration that git would execute. The
backend cannot change the user's repository; the copy only reads its objects.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.system import storage
from builder.system.git import Repository

_SHA256_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class State:
    """The state that a version can be derived from: commit, branch, refs, and uncommitted changes.

    :param head: a commit, or `ref: ` and a branch.
    :param refs: one line for each ref, with its object.
    :param status: the output of `git status --porcelain -z`.
    :param shallow: whether the clone is shallow, so that older commits and their tags are missing.
    """

    head: str
    refs: str
    status: str
    shallow: bool

    @property
    def key(self) -> str:
        """A hash of the state, for cache keys."""
        text = "\0".join((self.head, self.refs, self.status, str(self.shallow)))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()

    @property
    def modified(self) -> frozenset[str]:
        """Tracked files, relative to the work tree, that differ from the index."""
        return frozenset(entry[3:] for entry in self.status.split("\0") if entry and entry[1] not in " ?!")


def read_state(repository: Repository) -> State:
    """Read the state of a repository; raises ToolError if git fails."""
    branch = repository.run("symbolic-ref", "--quiet", "HEAD", also=1).stdout.strip()
    head = f"ref: {branch}" if branch else repository.run("rev-parse", "HEAD").stdout.strip()
    refs = repository.run("for-each-ref", "--format=%(objectname) %(refname)").stdout
    status = repository.run("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=dirty").stdout
    shallow = repository.run("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
    return State(head, refs, status, shallow)


def copy_repository(repository: Repository, work_tree: Path, *, leftovers: Sequence[str] = ()) -> None:
    """Create a `.git` for a copied work tree that has only some of the files; raises ToolError if git fails.

    Exactly the files that are modified in the user's tree are modified in the copy: all others, including those
    that were not copied, are marked as unchanged in the index.

    :param leftovers: ignore patterns for files that the build will write.
    """
    state = read_state(repository)
    names = ("objects", "index", "shallow", "info/exclude")
    asked = [word for name in names for word in ("--git-path", name)]
    paths = [Path(os.path.realpath(line)) for line in repository.run("rev-parse", *asked).stdout.splitlines()]
    objects, index, *others = paths
    ours = work_tree / ".git"
    alternates = storage.make_directory(ours / "objects" / "info") / "alternates"
    alternates.write_text(f"{objects}\n", encoding="utf-8")
    storage.make_directory(ours / "refs")
    (ours / "packed-refs").write_text(state.refs, encoding="utf-8")
    (ours / "HEAD").write_text(f"{state.head}\n", encoding="utf-8")
    sha256 = len(state.refs.partition(" ")[0]) == _SHA256_DIGITS
    lines = ["[core]", f"\trepositoryformatversion = {int(sha256)}", "\tbare = false"]
    lines += ["[extensions]", "\tobjectFormat = sha256"] if sha256 else []
    (ours / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for source, name in [(index, "index"), *zip(others, names[2:], strict=True)]:
        if source.is_file():
            storage.make_directory((ours / name).parent)
            shutil.copyfile(source, ours / name)
    with (storage.make_directory(ours / "info") / "exclude").open("a", encoding="utf-8") as exclude:
        exclude.write("".join(f"\n{pattern}" for pattern in leftovers))
    for shared in index.parent.glob("sharedindex.*"):
        shutil.copyfile(shared, ours / shared.name)
    same = (name for name in tracked_files(repository) if name not in state.modified)
    repository.run(
        *(f"--git-dir={ours}", f"--work-tree={work_tree}"),
        *("update-index", "-z", "--assume-unchanged", "--stdin"),
        directory=work_tree,
        stdin="".join(f"{name}\0" for name in same),
    )


def tracked_files(repository: Repository) -> list[str]:
    """The names of all files in the index, relative to the work tree; raises ToolError if git fails."""
    return [name for name in repository.run("ls-files", "-z").stdout.split("\0") if name]


def ignored_but_tracked(repository: Repository, directory: Path) -> str:
    """The files of a directory that are in the index although an ignore file matches them, NUL-terminated."""
    arguments = ("ls-files", "-z", "--cached", "--ignored", "--exclude-standard", "--", str(directory))
    return repository.run(*arguments).stdout
