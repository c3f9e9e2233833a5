"""Walking the build directory once: its files, directories and links without what is excluded.

The walk decides what can be decided for one entry at a time. What depends on other entries (symlinks whose target
is excluded, files that git ignores, empty directories) is decided from its result, in `builder.project.files`.
"""

# Names are strings here: a Path per entry would double the time of the walk.
# ruff: noqa: PTH110, PTH112, PTH113, PTH115, PTH116, PTH120

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from builder.errors import Notice, Origin, ProjectError
from builder.project.exclusions import (
    VERSION_CONTROL,
    ParentInfo,
    Reason,
    contents_reason,
    directory_reason,
    file_reason,
    holds_secret,
    is_environment,
    parent_info,
)
from builder.project.patterns import IGNORE_FILE, IgnoreRules, IncludePatterns, Line, unreadable
from builder.project.submodules import foreign_kind, foreign_notice


class WalkedEntry(NamedTuple):
    """A selected file or directory. A tuple, because there are many thousands.

    :param name: posix path relative to the build directory.
    :param path: where it really lies; no component but possibly the last is a symlink.
    :param mode: 0o644 or 0o755.
    :param included: an include pattern matches it.
    :param repository: the git repository that it lies in, or None.
    """

    name: str
    path: str
    mode: int
    included: bool
    repository: str | None


class WalkedLink(NamedTuple):
    """A symlink that may be packed as a symlink.

    :param text: its target as written in the link.
    :param target: the name of what it resolves to; "" is the build directory itself.
    """

    entry: WalkedEntry
    text: str
    target: str


@dataclass(slots=True, kw_only=True)
class Walked:
    """What a walk found.

    :param left_out: the rule that excludes each name; directories end with a slash. Files in an excluded directory
        have no entry.
    """

    root: str
    repository: str | None
    files: list[WalkedEntry] = field(default_factory=list)
    directories: list[WalkedEntry] = field(default_factory=list)
    links: list[WalkedLink] = field(default_factory=list)
    left_out: dict[str, Reason | Line] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


_NO_PARENT_INFO = ParentInfo()


class _Verdict(Enum):
    PACKED = "packed"
    INCLUDED = "included"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class _WalkedDirectory:
    """A directory to be walked.

    :param directory: its real path.
    :param prefix: its name in the build directory with a slash at its end; "" for the build directory.
    :param included: an include pattern matches the directory itself.
    :param only_included: the directory is excluded: only what include patterns match is taken from it.
    :param secrets_allowed: an include pattern names the directory of secrets that it is in, or is.
    :param rules: the `.builderignore` files that apply to it, innermost last.
    :param mounts: real directories and their prefixes; a symlink that is replaced by its target adds one.
    """

    directory: str
    prefix: str
    repository: str | None
    mounts: tuple[tuple[str, str], ...]
    parent: ParentInfo = _NO_PARENT_INFO
    rules: tuple[IgnoreRules, ...] = ()
    included: bool = False
    only_included: bool = False
    secrets_allowed: bool = False


def walk(root: str, include: IncludePatterns, out_dir: str | None) -> Walked:
    """Walk `root`; both paths are real ones (`os.path.realpath`).

    Raises ProjectError for what cannot be read, for names that are not UTF-8, and for symlinks that leave the
    repository (without a repository: the build directory).
    """
    walker = _Walker(root, include, out_dir)
    walker.run()
    return walker.walked


def repository_of(directory: str) -> str | None:
    """The git repository or worktree that a real path lies in: the nearest directory with a `.git` in it."""
    while True:
        if os.path.lexists(f"{directory}/.git"):
            return directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent


class _Walker:
    def __init__(self, root: str, include: IncludePatterns, out_dir: str | None) -> None:
        self.walked = Walked(root=root, repository=repository_of(root))
        self._include = include
        self._out_dir = out_dir

    def run(self) -> None:
        root = self.walked.root
        self._pending = [
            _WalkedDirectory(directory=root, prefix="", repository=self.walked.repository, mounts=((root, ""),))
        ]
        while self._pending:
            self._directory(self._pending.pop())

    def _directory(self, place: _WalkedDirectory) -> None:
        try:
            with os.scandir(place.directory) as listing:
                entries = list(listing)
        except OSError as error:
            raise unreadable(error, place.directory) from error
        names = {entry.name for entry in entries}
        if place.prefix == "":
            self._refuse_environment(names)
        elif reason := contents_reason(_last(place.prefix), names, place.parent):
            self.walked.left_out[place.prefix] = reason
            if not (place.included or self._include.may_match_below(place.prefix, inside=place.only_included)):
                return
            place = replace(place, only_included=True)
        elif not place.included and (foreign := foreign_kind(place.directory, place.repository, names)):
            if not self._include.may_match_below(place.prefix, inside=place.only_included):
                self.walked.notices.append(foreign_notice(place.prefix, foreign))
                return
            place = replace(place, only_included=True)
        if IGNORE_FILE in names and not place.only_included and os.path.isfile(f"{place.directory}/{IGNORE_FILE}"):
            rules = IgnoreRules(f"{place.directory}/{IGNORE_FILE}", place.prefix)
            place = replace(place, rules=(*place.rules, rules))
        if place.prefix and (place.included or not place.only_included):
            name = place.prefix.rstrip("/")
            self.walked.directories.append(
                WalkedEntry(name, place.directory, 0o755, place.included, place.repository)
            )
        if ".git" in names:
            # A nested repository: its files belong to it, but the directory itself belongs to the outer one.
            place = replace(place, repository=place.directory)
        self._entries(place, entries, parent_info(place.directory, names))

    def _refuse_environment(self, names: Collection[str]) -> None:
        if is_environment(names):
            raise ProjectError(
                f"the build directory `{self.walked.root}` is itself a virtual environment",
                remedy="Make the virtual environment in a directory of its own, such as `.venv`",
            )

    def _entries(self, place: _WalkedDirectory, entries: list[os.DirEntry[str]], parent: ParentInfo) -> None:
        for entry in entries:
            if entry.name in VERSION_CONTROL and not self._names_repository(place, entry.name):
                continue
            try:
                if entry.is_symlink():
                    self._link(place, entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    self._subdirectory(place, f"{place.directory}/{entry.name}", entry.name, parent)
                else:
                    self._file(place, entry)
            except OSError as error:
                raise unreadable(error, f"{place.directory}/{entry.name}") from error

    def _names_repository(self, place: _WalkedDirectory, repository: str) -> bool:
        """Whether a pattern names the `.git` of a directory, and not just everything in the directory."""
        name = f"{place.prefix}{repository}/"
        return self._include.names_explicitly(name) or self._include.may_match_below(name, inside=False)

    def _subdirectory(self, place: _WalkedDirectory, directory: str, name: str, parent: ParentInfo) -> None:
        """Queue a directory for the walk, unless its name excludes everything in it."""
        shown = f"{place.prefix}{name}/"
        reason = directory_reason(name, _last(place.prefix))
        if directory == self._out_dir:
            reason = Reason.LEFTOVER
        verdict = self._verdict(place, shown, reason)
        if verdict is _Verdict.LEFT_OUT and not self._include.may_match_below(shown, inside=place.only_included):
            return
        self._pending.append(
            replace(
                place,
                directory=directory,
                prefix=shown,
                parent=parent,
                included=verdict is _Verdict.INCLUDED,
                only_included=place.only_included or verdict is _Verdict.LEFT_OUT or reason is not None,
                secrets_allowed=place.secrets_allowed
                or (verdict is _Verdict.INCLUDED and reason is Reason.SECRET),
            ),
        )

    def _file(self, place: _WalkedDirectory, entry: os.DirEntry[str]) -> None:
        name = place.prefix + entry.name
        verdict = self._verdict(place, name, file_reason(entry.name, _last(place.prefix)))
        if verdict is not _Verdict.LEFT_OUT:
            self._add_file(
                place, name, f"{place.directory}/{entry.name}", verdict, entry.stat(follow_symlinks=False)
            )

    def _add_file(
        self, place: _WalkedDirectory, name: str, path: str, verdict: _Verdict, status: os.stat_result
    ) -> None:
        """Add a file that its name does not exclude, unless its content is a secret."""
        if not stat.S_ISREG(status.st_mode):
            text = f"`{name}` was left out: sockets, pipes and devices cannot be packed; move it elsewhere"
            self.walked.notices.append(Notice(text))
            return
        if not os.access(path, os.R_OK):
            raise unreadable(PermissionError(errno.EACCES, "Permission denied"), path)
        secret = holds_secret(path, _last(name), status.st_size)
        if secret and not (place.secrets_allowed or self._include.names_explicitly(name)):
            self._leave_out(name, Reason.SECRET)
            return
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        self.walked.files.append(WalkedEntry(name, path, mode, verdict is _Verdict.INCLUDED, place.repository))

    def _verdict(self, place: _WalkedDirectory, name: str, reason: Reason | None) -> _Verdict:
        """Apply include patterns, `.builderignore` and the built-in rule to a name."""
        included = self._include.matches(name)
        if place.only_included and not included:
            return _Verdict.LEFT_OUT
        if not included:
            for rules in reversed(place.rules):
                if rule := rules.rule(name):
                    line, ignored = rule
                    if ignored:
                        return self._leave_out(name, line)
                    break
        if reason is Reason.LEFTOVER and not included:
            return self._leave_out(name, reason)
        _check_name(place, name)
        if reason is Reason.SECRET and not (
            place.secrets_allowed or (included and self._include.names_explicitly(name))
        ):
            return self._leave_out(name, reason)
        return _Verdict.INCLUDED if included else _Verdict.PACKED

    def _leave_out(self, name: str, rule: Reason | Line) -> _Verdict:
        self.walked.left_out[name] = rule
        return _Verdict.LEFT_OUT

    def _link(self, place: _WalkedDirectory, last: str) -> None:
        name, path = place.prefix + last, f"{place.directory}/{last}"
        directory = os.path.isdir(path)
        judge = directory_reason if directory else file_reason
        # A link to a directory counts as a directory: the pattern `data/` also matches a link `data`.
        verdict = self._verdict(place, f"{name}/" if directory else name, judge(last, _last(place.prefix)))
        if verdict is _Verdict.LEFT_OUT or (
            directory and verdict is not _Verdict.INCLUDED and _is_environment_at(path)
        ):
            return
        if not os.path.exists(path):
            # Emacs marks an open file by `.#name`, a link to `user@host.pid`.
            if not last.startswith(".#"):
                text = f"symlink `{name}` was left out: it points to nothing; correct or remove it"
                self.walked.notices.append(Notice(text))
            return
        real, text = os.path.realpath(path), os.readlink(path)
        for mount, prefix in reversed(place.mounts):
            if real == mount or real.startswith(f"{mount}/"):
                target = f"{prefix}{real[len(mount) + 1 :]}".rstrip("/")
                entry = WalkedEntry(name, path, 0o644, verdict is _Verdict.INCLUDED, place.repository)
                self.walked.links.append(WalkedLink(entry, text, target))
                return
        self._replace(place, name, path, verdict)

    def _replace(self, place: _WalkedDirectory, name: str, path: str, verdict: _Verdict) -> None:
        """Replace a symlink by its target, which is elsewhere in the repository."""
        real = os.path.realpath(path)
        self._refuse_outside(path, real)
        reason = self._reason_of_target(real)
        included = verdict is _Verdict.INCLUDED
        if reason is Reason.SECRET and not (included and self._include.names_explicitly(name)):
            self._leave_out(name, reason)
            return
        if reason is not None and not included:
            self.walked.notices.append(left_out_notice(name, real))
            return
        # If the target itself has a `.git`, `_directory` sets its repository.
        place = replace(
            place,
            repository=repository_of(os.path.dirname(real)),
            secrets_allowed=place.secrets_allowed or reason is Reason.SECRET,
        )
        if os.path.isdir(real):
            self._pending.append(
                replace(
                    place,
                    directory=real,
                    prefix=f"{name}/",
                    mounts=(*place.mounts, (real, f"{name}/")),
                    parent=_NO_PARENT_INFO,
                    included=included,
                    only_included=place.only_included or reason is not None,
                ),
            )
        else:
            self._add_file(place, name, real, verdict, os.stat(real))

    def _refuse_outside(self, path: str, real: str) -> None:
        root, repository = self.walked.root, self.walked.repository
        if root.startswith(f"{real.rstrip('/')}/"):
            raise _bad_link(path, real, "points to a directory that contains the build directory")
        if repository is None:
            raise _bad_link(path, real, "leaves the build directory, which is in no git repository")
        if not real.startswith(f"{repository.rstrip('/')}/"):
            raise _bad_link(path, real, "leaves the git repository")

    def _reason_of_target(self, real: str) -> Reason | None:
        """Apply the built-in rules to a symlink's target in the repository, and to its parent directories."""
        if self._out_dir and (real == self._out_dir or real.startswith(f"{self._out_dir}/")):
            return Reason.LEFTOVER
        here = self.walked.repository or ""
        parts = real[len(here) + 1 :].split("/")
        for index, part in enumerate(parts):
            parent = parts[index - 1] if index else ""
            here = f"{here}/{part}"
            directory = index < len(parts) - 1 or os.path.isdir(here)
            reason = (directory_reason if directory else file_reason)(part, parent)
            if reason is None and directory and _is_environment_at(here):
                reason = Reason.LEFTOVER
            if reason is not None:
                return reason
        return None


def left_out_notice(name: str, target: str) -> Notice:
    """A symlink left out because what it points to is left out."""
    return Notice(
        f"symlink `{name}` was left out, as is what it points to, `{target}`; if the code needs it, write"
        f' include = ["{name}"] under [tool.builder]'
    )


def _bad_link(path: str, real: str, problem: str) -> ProjectError:
    return ProjectError(
        f"symlink `{path}` {problem}: it points to `{real}`",
        where=Origin(Path(path)),
        remedy=f"Copy what it points to into the project, or name the symlink in `{IGNORE_FILE}` to leave it out",
    )


def _check_name(place: _WalkedDirectory, name: str) -> None:
    if name.isascii():
        return
    try:
        name.encode()
    except UnicodeEncodeError:
        path = os.fsencode(f"{place.directory}/{_last(name)}").decode(errors="backslashreplace")
        raise ProjectError(
            f"the name of `{path}` is not valid UTF-8",
            remedy=f"Rename it, or leave it out by a wildcard pattern in `{IGNORE_FILE}`",
        ) from None


def _is_environment_at(directory: str) -> bool:
    return os.path.lexists(f"{directory}/pyvenv.cfg") or os.path.lexists(f"{directory}/conda-meta")


def _last(name: str) -> str:
    """The last component of a name; directories may end with a slash."""
    return name.rstrip("/").rpartition("/")[2]
