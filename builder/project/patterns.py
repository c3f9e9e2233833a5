"""Patterns in gitignore syntax: those of `.builderignore` files, which exclude, and those of `include`.

The syntax is git's (https://git-scm.com/docs/gitignore#_pattern_format), read by `pathspec`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builder.errors import Origin, ProjectError
from builder.project.limited_text import read_limited_bytes

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

IGNORE_FILE = ".builderignore"

_MOST_BYTES = 500_000

_MOST_PATTERNS = 1000
"""Maximum number in one file or list, since each pattern is compared with each name."""

# The regular expressions of pathspec for `*` and an inner `/**/`, which backtrack exponentially.
_STARS = re.compile(r"(?:\[\^/\]\*)+")
_BETWEEN_STARS = re.compile(r"\[\^/\]\*((?:\[\^/\](?![*+])|[^/])+?)(?=\[\^/\]\*)")
_ANY_DIRECTORIES = "(?:/.+)?"

# No file has this name: names cannot contain NUL.
_NO_NAME = "\0"


class Line(NamedTuple):
    """A line of a `.builderignore` (relative to the build directory), or of an ignore file, as named by git."""

    file: str
    number: int


class IgnoreRules:
    """One `.builderignore` file, which applies to its own directory and everything below.

    :param prefix: the directory's path in the build directory, with a trailing slash, or "".
    """

    def __init__(self, path: str, prefix: str) -> None:
        """Read the file; raises ProjectError for text that is not UTF-8 and for an invalid pattern."""
        where = Path(path)
        try:
            text = read_limited_bytes(where, _MOST_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            what = f"`{IGNORE_FILE}` is not UTF-8 text"
            raise ProjectError(what, where=Origin(where), remedy="Save it as UTF-8") from error
        self.prefix = prefix
        lines = text.splitlines()
        check_count(lines, f"`{IGNORE_FILE}`", Origin(where))
        patterns = [(number, _compile(line, Origin(where, number))) for number, line in enumerate(lines, start=1)]
        self._patterns = [(number, pattern) for number, pattern in reversed(patterns) if pattern.regex is not None]

    def rule(self, name: str) -> tuple[Line, bool] | None:
        """The line that decides on a name, and whether it excludes it. Directories end with a slash."""
        name = name[len(self.prefix) :]
        for number, pattern in self._patterns:
            if _matches_itself(pattern, name):
                return Line(f"{self.prefix}{IGNORE_FILE}", number), pattern.include is True
        return None


class IncludePatterns:
    """The include patterns of the user, relative to the build directory.

    :param patterns: as written by the user. Raises ProjectError for an invalid one.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._texts = [pattern for pattern in patterns if check_include(pattern)]
        # Users write `./data`, for which git would search a directory called `.`.
        self._patterns = [_compile(text.removeprefix("./"), None) for text in self._texts]
        self._reaching = [
            segments
            for text, pattern in zip(self._texts, self._patterns, strict=True)
            if pattern.include and len(segments := _segments(text)) > 1
        ]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def matches(self, name: str) -> bool:
        """Whether `name` is included; the last pattern that matches decides. Directories end with a slash."""
        return (
            next((pattern.include for pattern in reversed(self._patterns) if pattern.match_file(name)), None)
            is True
        )

    def names_explicitly(self, name: str) -> bool:
        """Whether a pattern matches `name` specifically, and not just every file in its directory.

        `config/` and `*` do not name `config/key.pem`; `config/*.pem` does. Secrets need such a pattern.
        """
        head, slash, tail = name.rstrip("/").rpartition("/")
        other = f"{head}{slash}{_NO_NAME}{'/' if name.endswith('/') else ''}"
        return tail != "" and any(
            pattern.include and pattern.match_file(name) and not pattern.match_file(other)
            for pattern in self._patterns
        )

    def may_match_below(self, name: str, *, inside: bool) -> bool:
        """Whether a pattern may match something in the excluded directory `name`.

        A pattern applies in an excluded directory only if it has that directory's name: `dist/*.csv` applies in
        `dist`, but `*.csv`, `*/x.csv` and `**/x.csv` do not. In its subdirectories, wildcards apply.
        """
        parts = name.rstrip("/").split("/")
        return any(_may_match_below(segments, parts, spelled_out=not inside) for segments in self._reaching)

    def unused(self, names: Sequence[str]) -> list[str]:
        """The patterns that match none of `names`, as written by the user."""
        return [
            text
            for text, pattern in zip(self._texts, self._patterns, strict=True)
            if pattern.include and not any(pattern.match_file(name) for name in names)
        ]


def check_include(pattern: str, where: Origin | None = None) -> bool:
    """Check a pattern; raises ProjectError, with `where`, for an invalid one."""
    if not pattern.strip() or pattern.lstrip().startswith("#"):
        raise ProjectError(
            f"include pattern {pattern!r} is empty",
            where=where,
            remedy="Give a path or a pattern in gitignore syntax, such as `config/*.pem`",
        )
    climbing, _, rest = pattern.rpartition("../")
    if (
        climbing.replace("../", "")
        or ".." in rest.split("/")
        or (pattern.startswith("../") and set("*?[") & set(rest))
    ):
        raise ProjectError(
            f"include pattern `{pattern}` leaves the build directory",
            where=where,
            remedy="Write a path outside it without wildcards, and with `../` only at the beginning",
        )
    if pattern.startswith("../"):
        return True
    _compile(pattern, where)
    return True


def check_count(patterns: Sequence[object], what: str, where: Origin) -> None:
    """Raise ProjectError for too many patterns: each is compared with all names."""
    if len(patterns) > _MOST_PATTERNS:
        raise ProjectError(
            f"{what} has {len(patterns)} patterns, and {_MOST_PATTERNS} is the limit",
            where=where,
            remedy="Name directories, or use wildcards, instead of each file",
        )


def unreadable(error: OSError, path: str) -> ProjectError:
    """The ProjectError for an OSError from reading `path`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ProjectError(
        f"could not read `{path}`: {reason}",
        remedy=f"Make it readable, or name it in `{IGNORE_FILE}` to leave it out",
    )


def _compile(text: str, where: Origin | None) -> GitIgnoreSpecPattern:
    # pathspec takes 40 ms to import, and few projects have a pattern.
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # noqa: PLC0415

    # In git `a/**` matches everything in `a`; in pathspec also `a/` itself, in which nothing could be re-included.
    bare = text.rstrip()
    if bare.endswith(("/**", "/**/")):
        text = f"{bare}/*" if bare.endswith("*") else f"{bare}*/"
    try:
        pattern = GitIgnoreSpecPattern(text)
        if pattern.regex is None:
            return pattern
        return GitIgnoreSpecPattern(_without_backtracking(pattern.regex.pattern), pattern.include)
    except (ValueError, re.error) as error:
        what = f"`{text}` is not a pattern in gitignore syntax"
        raise ProjectError(what, where=where, remedy="Correct the pattern, or remove it") from error


def _without_backtracking(regex: str) -> re.Pattern[str]:
    """An equivalent regular expression whose time does not multiply with each wildcard.

    Between two wildcards, the first match of the enclosed part is enough, as in `fnmatch`.
    """
    first, *inner = _BETWEEN_STARS.sub(r"(?>[^/]*?\1)", _STARS.sub("[^/]*", regex)).split(_ANY_DIRECTORIES)
    if not inner:
        return re.compile(first)
    *inner, last = inner
    if first.startswith("^(?:.+/)?"):
        first = f"^(?>(?:.+?/)??{first.removeprefix('^(?:.+/)?')}(?=/))"
    middle = "".join(f"(?>(?:/.+?)??{part}(?=/))" for part in inner)
    return re.compile(f"{first}{middle}{_ANY_DIRECTORIES}{last}")


def _matches_itself(pattern: GitIgnoreSpecPattern, name: str) -> bool:
    """Whether a pattern matches `name` itself, not only one of its parent directories.

    pathspec's patterns match a directory and everything in it. git's do not, which matters for re-inclusion:
    `!kept/` after `*` re-includes the directory alone.
    """
    match = pattern.regex.search(name) if pattern.regex else None
    if match is None or "ps_d" not in match.re.groupindex:
        return match is not None
    # The group `ps_d` is the slash after the directory that the pattern matches.
    if match.re.pattern == "(?P<ps_d>/)":
        return name.endswith("/")
    return match.end("ps_d") in {-1, len(name)}


def _segments(text: str) -> list[str]:
    """The segments of a pattern; a pattern without an inner or leading slash has only one."""
    segments = text.rstrip().removeprefix("./").rstrip("/").split("/")
    # `/name` and `name/…` are anchored; the leading slash is not a segment.
    return ["", *segments[1:]] if segments[0] == "" else segments


def _may_match_below(segments: Sequence[str], parts: Sequence[str], *, spelled_out: bool) -> bool:
    pattern = segments[1:] if segments[0] == "" else segments
    for index, part in enumerate(parts):
        if index >= len(pattern) - 1:
            return False
        last = index == len(parts) - 1
        if pattern[index] == "**":
            return not spelled_out
        if last and spelled_out:
            return pattern[index].replace("\\", "") == part
        if not fnmatchcase(part, pattern[index]):
            return False
    return True
