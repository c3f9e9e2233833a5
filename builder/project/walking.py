"""Walking the build directory once: its files, directories and links without what is excluded.

The walk decides everything that can be decided entry by entry; what needs the whole picture (symlinks whose target
was left out, git's opinion, empty directories) is decided on its result, in `builder.project.files`.
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
    """A file or directory that belongs. Not a dataclass: there are thousands.

    :param name: posix path relative to the build directory.
    :param path: where it really lies; no component but possibly the last is a symlink.
    :param mode: 0o644 or 0o755.
    :param asked: an include pattern took it in.
    :param repository: the git repository that it lies in, or None.
    """

    name: str
    path: str
    mode: int
    asked: bool
    repository: str | None


class WalkedLink(NamedTuple):
    """A symlink that may stay one.

    :param text: its target as it is written.
    :param target: the name of what it finally points to; "" is the build directory itself.
    """

    found: WalkedEntry
    text: str
    target: str


@dataclass(slots=True, kw_only=True)
class Walked:
    """What a walk found.

    :param left_out: what a rule leaves out, by its name, which ends with a slash for a directory. What lies in a
        directory that is left out has no entry of its own.
    """

    root: str
    repository: str | None
    files: list[WalkedEntry] = field(default_factory=list)
    directories: list[WalkedEntry] = field(default_factory=list)
    links: list[WalkedLink] = field(default_factory=list)
    left_out: dict[str, Reason | Line] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


_NO_SURROUNDINGS = ParentInfo()


class _Verdict(Enum):
    BELONGS = "belongs"
    ASKED = "asked for"
    LEFT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class _WalkedDirectory:
    """A directory to be walked.

    :param directory: its real path.
    :param prefix: its name in the build directory with a slash at its end; "" for the build directory.
    :param asked: an include pattern took in the directory itself.
    :param asked_only: it was left out: only what include patterns take in comes from here.
    :param secret_meant: it lies in a directory of secrets that was taken in on purpose.
    :param rules: the `.builderignore` files that speak for it, innermost last.
    :param mounts: which real directory stands under which prefix; a directory in a symlink's place adds one.
    """

    directory: str
    prefix: str
    repository: str | None
    mounts: tuple[tuple[str, str], ...]
    parent: ParentInfo = _NO_SURROUNDINGS
    rules: tuple[IgnoreRules, ...] = ()
    asked: bool = False
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
            if not (place.asked or self._include.may_match_below(place.prefix, inside=place.only_included)):
                return
            place = replace(place, only_included=True)
        elif not place.asked and (foreign := foreign_kind(place.directory, place.repository, names)):
            if not self._include.may_match_below(place.prefix, inside=place.only_included):
                self.walked.notices.append(foreign_notice(place.prefix, foreign))
                return
            place = replace(place, only_included=True)
        if IGNORE_FILE in names and not place.only_included and os.path.isfile(f"{place.directory}/{IGNORE_FILE}"):
            rules = IgnoreRules(f"{place.directory}/{IGNORE_FILE}", place.prefix)
            place = replace(place, rules=(*place.rules, rules))
        if place.prefix and (place.asked or not place.only_included):
            name = place.prefix.rstrip("/")
            self.walked.directories.append(
                WalkedEntry(name, place.directory, 0o755, place.asked, place.repository)
            )
        if ".git" in names:
            # Nested in another one, whose opinion of this directory, just noted, counts too.
            place = replace(place, repository=place.directory)
        self._entries(place, entries, parent_info(place.directory, names))

    def _refuse_environment(self, names: Collection[str]) -> None:
        if is_environment(names):
            raise ProjectError(
                f"the build directory `{self.walked.root}` is itself a virtual environment",
                remedy="Make the virtual environment in a directory of its own, such as `.venv`",
            )

    def _entries(self, place: _WalkedDirectory, entries: list[os.DirEntry[str]], around: ParentInfo) -> None:
        for entry in entries:
            if entry.name in VERSION_CONTROL and not self._means(place, entry.name):
                continue
            try:
                if entry.is_symlink():
                    self._link(place, entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    self._subdirectory(place, f"{place.directory}/{entry.name}", entry.name, around)
                else:
                    self._file(place, entry)
            except OSError as error:
                raise unreadable(error, f"{place.directory}/{entry.name}") from error

    def _means(self, place: _WalkedDirectory, repository: str) -> bool:
        """Whether a pattern speaks of the `.git` of a directory, and not just of all that lies around it."""
        name = f"{place.prefix}{repository}/"
        return self._include.names_explicitly(name) or self._include.may_match_below(name, inside=False)

    def _subdirectory(self, place: _WalkedDirectory, directory: str, name: str, around: ParentInfo) -> None:
        """Queue a directory for the walk, unless its name says that nothing in it belongs."""
        shown = f"{place.prefix}{name}/"
        reason = directory_reason(name, _last(place.prefix))
        if directory == self._out_dir:
            reason = Reason.LEFTOVER
        verdict = self._verdict(place, shown, reason)
        if verdict is _Verdict.LEFT and not self._include.may_match_below(shown, inside=place.only_included):
            return
        self._pending.append(
            replace(
                place,
                directory=directory,
                prefix=shown,
                parent=around,
                asked=verdict is _Verdict.ASKED,
                only_included=place.only_included or verdict is _Verdict.LEFT or reason is not None,
                secrets_allowed=place.secrets_allowed or (verdict is _Verdict.ASKED and reason is Reason.SECRET),
            ),
        )

    def _file(self, place: _WalkedDirectory, entry: os.DirEntry[str]) -> None:
        name = place.prefix + entry.name
        verdict = self._verdict(place, name, file_reason(entry.name, _last(place.prefix)))
        if verdict is not _Verdict.LEFT:
            self._take(place, name, f"{place.directory}/{entry.name}", verdict, entry.stat(follow_symlinks=False))

    def _take(
        self, place: _WalkedDirectory, name: str, path: str, verdict: _Verdict, status: os.stat_result
    ) -> None:
        """Take a file that belongs by its name, unless its content is a secret."""
        if not stat.S_ISREG(status.st_mode):
            text = f"`{name}` was left out: sockets, pipes and devices cannot be packed; move it elsewhere"
            self.walked.notices.append(Notice(text))
            return
        if not os.access(path, os.R_OK):
            raise unreadable(PermissionError(errno.EACCES, "Permission denied"), path)
        secret = holds_secret(path, _last(name), status.st_size)
        if secret and not (place.secrets_allowed or self._include.names_explicitly(name)):
            self._leave(name, Reason.SECRET)
            return
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        self.walked.files.append(WalkedEntry(name, path, mode, verdict is _Verdict.ASKED, place.repository))

    def _verdict(self, place: _WalkedDirectory, name: str, reason: Reason | None) -> _Verdict:
        """Weigh include patterns, `.builderignore` and the built-in reason; directories end with a slash."""
        asked = self._include.matches(name)
        if place.only_included and not asked:
            return _Verdict.LEFT
        if not asked:
            for rules in reversed(place.rules):
                if rule := rules.rule(name):
                    line, ignored = rule
                    if ignored:
                        return self._leave(name, line)
                    break
        if reason is Reason.LEFTOVER and not asked:
            return self._leave(name, reason)
        _check_name(place, name)
        if reason is Reason.SECRET and not (
            place.secrets_allowed or (asked and self._include.names_explicitly(name))
        ):
            return self._leave(name, reason)
        return _Verdict.ASKED if asked else _Verdict.BELONGS

    def _leave(self, name: str, rule: Reason | Line) -> _Verdict:
        self.walked.left_out[name] = rule
        return _Verdict.LEFT

    def _link(self, place: _WalkedDirectory, last: str) -> None:
        name, path = place.prefix + last, f"{place.directory}/{last}"
        directory = os.path.isdir(path)
        judge = directory_reason if directory else file_reason
        # A link to a directory is judged as a directory: who ignores `data/` means the link of that name too.
        verdict = self._verdict(place, f"{name}/" if directory else name, judge(last, _last(place.prefix)))
        if verdict is _Verdict.LEFT or (directory and verdict is not _Verdict.ASKED and _is_environment_at(path)):
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
                entry = WalkedEntry(name, path, 0o644, verdict is _Verdict.ASKED, place.repository)
                self.walked.links.append(WalkedLink(entry, text, target))
                return
        self._replace(place, name, path, verdict)

    def _replace(self, place: _WalkedDirectory, name: str, path: str, verdict: _Verdict) -> None:
        """Put what a symlink points to, elsewhere in the repository, in the symlink's place."""
        real = os.path.realpath(path)
        self._refuse_outside(path, real)
        reason = self._reason_of_target(real)
        asked = verdict is _Verdict.ASKED
        if reason is Reason.SECRET and not (asked and self._include.names_explicitly(name)):
            self._leave(name, reason)
            return
        if reason is not None and not asked:
            self.walked.notices.append(left_out_notice(name, real))
            return
        # A target with a `.git` of its own is noticed when it is walked.
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
                    parent=_NO_SURROUNDINGS,
                    asked=asked,
                    only_included=place.only_included or reason is not None,
                ),
            )
        else:
            self._take(place, name, real, verdict, os.stat(real))

    def _refuse_outside(self, path: str, real: str) -> None:
        root, repository = self.walked.root, self.walked.repository
        if root.startswith(f"{real.rstrip('/')}/"):
            raise _bad_link(path, real, "points to a directory that contains the build directory")
        if repository is None:
            raise _bad_link(path, real, "leaves the build directory, which is in no git repository")
        if not real.startswith(f"{repository.rstrip('/')}/"):
            raise _bad_link(path, real, "leaves the git repository")

    def _reason_of_target(self, real: str) -> Reason | None:
        """Judge a symlink's target, elsewhere in the repository, by its own name and those of its directories."""
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
