"""Selecting the files of a project for its source PEX.

The rules (in full in `docs/what-is-packed.md`): everything in the build directory is packed, including hidden
files and empty directories, except

- leftovers: version control, virtual environments, caches, `node_modules`, build output, the output directory and
earlier output (`builder.project.exclusions`);
- secrets, each of which is reported by name (same module);
- files that match a `.builderignore`, at any level of the tree (`builder.project.patterns`);
- with `respect_gitignore`, files that git ignores.

Include patterns override all of these; a secret needs a pattern that names it. A symlink within the build
directory is kept, unless its target is excluded; one to elsewhere in the git repository is replaced by its target;
one that leaves the repository is an error. Dangling symlinks, sockets, pipes and devices are left out with a
notice.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from builder.errors import Notice, ProjectError, ToolError
from builder.project.exclusions import Reason
from builder.project.git_ignored import ignored_by_git
from builder.project.patterns import IncludePatterns, Line, unreadable
from builder.project.walking import Walked, WalkedEntry, WalkedLink, left_out_notice, walk
from builder.system.storage import make_directory, storage_error

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """One selected file, symlink or empty directory.

    :param name: posix path relative to the build directory.
    :param path: the file to read (for a symlink that is kept: the symlink itself); None for an empty directory.
    :param mode: 0o644 or 0o755; 0o755 for a directory, 0o644 for a symlink.
    :param link: for a symlink that is kept, its target relative to its directory.
    """

    name: str
    path: Path | None
    mode: int
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected files, and warnings about the others.

    :param files: sorted by name, in the order of code points, whatever the machine and the locale.
    :param left_out: the rule that excludes each name, as in `Walked`.
    :param git_ignored: how many of `files` git ignores.
    """

    files: tuple[ProjectFile, ...]
    left_out: Mapping[str, Reason | Line] = field(default_factory=dict)
    git_ignored: int = 0
    notices: tuple[Notice, ...] = ()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets left out; directories end with a slash."""
        return tuple(sorted(name for name, rule in self.left_out.items() if rule is Reason.SECRET))


def select_files(
    directory: Path, *, include: Sequence[str], respect_gitignore: bool, out_dir: Path | None
) -> Selection:
    """Select the files of a build directory by the rules above.

    :param include: patterns in gitignore syntax, relative to `directory`.
    :param out_dir: the output directory for artefacts; excluded if it is in the build directory.

    Raises ProjectError for a pattern or symlink that leads out of bounds, a file that cannot be read, a name that
    is not UTF-8, and with `respect_gitignore` if git fails.
    """
    root = os.path.realpath(directory)
    if not os.path.isdir(root):  # noqa: PTH112
        raise ProjectError(f"the build directory `{directory}` is not a directory", remedy="Check the path")
    patterns = IncludePatterns(include)
    walked = walk(root, patterns, os.path.realpath(out_dir) if out_dir else None)
    ignored = _ignored(walked, demanded=respect_gitignore)
    if respect_gitignore:
        _obey(walked, ignored)
    files = [ProjectFile(entry.name, Path(entry.path), entry.mode) for entry in walked.files]
    files += _kept_links(walked)
    files += _empty_directories(files, walked.directories)
    files.sort(key=lambda file: file.name)
    if patterns:
        names = [entry.name for entry in walked.directories] + [file.name for file in files if file.link]
        unused = patterns.unused([*(f"{name}/" for name in names), *(file.name for file in files)])
        walked.notices += [
            Notice(f"include pattern `{text}` matches nothing in `{directory}`; correct or remove it")
            for text in unused
        ]
    return Selection(
        files=tuple(files),
        left_out=walked.left_out,
        git_ignored=sum(str(file.path) in ignored for file in files) if ignored else 0,
        notices=tuple(sorted(walked.notices, key=lambda notice: notice.text)),
    )


def content_key(selection: Selection) -> str:
    """The sha256 over names, modes, links and contents of the selected files, hexadecimal.

    Equal keys mean equal trees; the location and the times of the files do not matter. Raises ProjectError for a
    file that cannot be read.
    """
    key = hashlib.sha256()
    for file in selection.files:
        if file.link is not None:
            kind, content = b"link", file.link.encode()
        elif file.path is None:
            kind, content = b"directory", b""
        else:
            kind, content = b"file", _digest(file.path)
        for part in (kind, file.name.encode(), b"%o" % file.mode, content):
            key.update(len(part).to_bytes(8, "big"))
            key.update(part)
    return key.hexdigest()


def copy_tree(selection: Selection, destination: Path) -> None:
    """Copy the selected files to `destination`, for builds that write into their source tree.

    `destination` is created if necessary and has none of the files yet. The files' modes do not depend on the
    umask. Raises ProjectError for a file that cannot be read, StorageError for one that cannot be written.
    """
    made = {make_directory(destination)}
    for file in selection.files:
        target = destination / file.name
        parent = target if file.path is None else target.parent
        if parent not in made:
            made.add(make_directory(parent))
        try:
            if file.link is not None:
                target.symlink_to(file.link)
            elif file.path is not None:
                with _open(file.path) as source, target.open("xb") as sink:
                    # Allocating a buffer larger than the file would take longer than the copy.
                    shutil.copyfileobj(source, sink, min(_CHUNK, os.fstat(source.fileno()).st_size + 1))
                    os.fchmod(sink.fileno(), file.mode)
        except OSError as error:
            raise storage_error(error, target) from error


def _ignored(walked: Walked, *, demanded: bool) -> dict[str, Line]:
    """The paths of walked entries that git ignores, and the deciding lines; directories only if `demanded`.

    Without `demanded` the result is only for a count: if git is missing or fails, nothing is ignored.
    """
    if demanded and walked.repository is None:
        raise ProjectError(
            f"`{walked.root}` is in no git repository, so `respect-gitignore` cannot be obeyed",
            remedy="Build from a git checkout, or remove `respect-gitignore` from [tool.builder]",
        )
    by_repository: dict[str, list[str]] = {}
    directories = walked.directories if demanded else []
    for entry in (*walked.files, *(link.entry for link in walked.links), *directories):
        if entry.repository:
            by_repository.setdefault(entry.repository, []).append(entry.path)
    ignored: dict[str, Line] = {}
    for repository, paths in by_repository.items():
        try:
            ignored |= ignored_by_git(repository, paths)
        except ToolError as error:
            if demanded:
                raise ProjectError(
                    f"git could not say what it ignores in `{repository}`: {error.what}",
                    detail=error.detail,
                    remedy="Make git work there, or remove `respect-gitignore` from [tool.builder]",
                ) from error
    return ignored


def _obey(walked: Walked, ignored: Mapping[str, Line]) -> None:
    """Remove what git ignores from the result of the walk, except what is included by name."""
    # A nested repository does not know that the outer one ignores all of it.
    trees = tuple(f"{directory.path}/" for directory in walked.directories if directory.path in ignored)

    def belongs(entry: WalkedEntry, end: str = "") -> bool:
        if entry.path in ignored and not entry.included:
            walked.left_out[f"{entry.name}{end}"] = ignored[entry.path]
            return False
        return entry.included or not entry.path.startswith(trees)

    walked.files = [file for file in walked.files if belongs(file)]
    walked.links = [link for link in walked.links if belongs(link.entry)]
    walked.directories = [directory for directory in walked.directories if belongs(directory, "/")]


def _kept_links(walked: Walked) -> list[ProjectFile]:
    """The symlinks whose target is selected; one that is included by name stays even if its target is not."""
    names = {file.name for file in walked.files} | {directory.name for directory in walked.directories} | {""}
    names |= _parents(names)
    targets = {link.entry.name: link.target for link in walked.links}
    kept: list[ProjectFile] = []
    for link in walked.links:
        entry = link.entry
        if link.target in names:
            kept.append(ProjectFile(entry.name, Path(entry.path), entry.mode, _link_text(link, targets)))
        elif entry.included and os.path.isfile(entry.path):  # noqa: PTH113
            mode = 0o755 if os.access(entry.path, os.X_OK) else 0o644
            kept.append(ProjectFile(entry.name, Path(os.path.realpath(entry.path)), mode))
        elif Reason.SECRET in map(walked.left_out.get, (link.target, *directories_of(link.target))):
            walked.left_out[entry.name] = Reason.SECRET
        else:
            walked.notices.append(left_out_notice(entry.name, link.target))
    return kept


def _link_text(link: WalkedLink, targets: dict[str, str]) -> str:
    """The link's own text if it leads to its target in any copy of the tree, else a plain relative path."""
    at = posixpath.dirname(link.entry.name)
    if not link.text.startswith("/") and _follow(at, link.text, targets) == link.target:
        return link.text
    return posixpath.relpath(f"/{link.target}", f"/{at}")


def _follow(at: str, text: str, targets: dict[str, str]) -> str | None:
    """The target of a relative link in directory `at`, through kept links; None if it is outside the tree."""
    here = at.split("/") if at else []
    for part in text.split("/"):
        if part == "..":
            if not here:
                return None
            here.pop()
        elif part not in {"", "."}:
            here.append(part)
            name = "/".join(here)
            if name in targets:
                here = targets[name].split("/") if targets[name] else []
    return "/".join(here)


def _empty_directories(files: Iterable[ProjectFile], directories: Iterable[WalkedEntry]) -> list[ProjectFile]:
    occupied = _parents([file.name for file in files])
    names = {directory.name for directory in directories}
    occupied |= _parents(names)
    return [ProjectFile(name, None, 0o755) for name in names - occupied]


def _parents(names: Iterable[str]) -> set[str]:
    """All directories, without slashes, that `names` lie in; not the build directory itself."""
    parents: set[str] = set()
    for name in names:
        parent = name.rpartition("/")[0]
        while parent and parent not in parents:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    return parents


def directories_of(name: str) -> list[str]:
    """`name` itself and every directory that it lies in, with the slash that directories end with."""
    parts = name.split("/")
    return [f"{'/'.join(parts[:n])}/" for n in range(1, len(parts) + 1)]


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb", buffering=0) as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise unreadable(error, str(path)) from error


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise unreadable(error, str(path)) from error
