"""Reducing a traceback from another process to the frames of the user's own code.

Dagster wraps errors of the user's code in its own, and most frames are in dagster and in Python's import system.
The result has only the project's frames, and the messages of the errors that were raised there.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

WRAPPERS: Final = frozenset({"DagsterUserCodeLoadError", "DagsterImportError", "DagsterUserCodeProcessError"})
"""Errors in which dagster wraps the errors of user code."""

_LONGEST: Final = 12
"""How many frames of an error, the innermost, are shown."""

_FRAME: Final = re.compile(r'\s*File "(?P<path>[^"]*)", line (?P<line>\d+), in (?P<function>.*)')
_SYNTAX: Final = re.compile(r'\s*File "(?P<path>[^"]*)", line (?P<line>\d+)\n')
_ROOT: Final = "working_directory/root"
_SITE_PACKAGES: Final = re.compile(rf"(?P<site>.*/site-packages)/{_ROOT.partition('/')[0]}/")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a traceback.

    :param text: the line of code; empty if it is not known.
    """

    path: str
    line: int
    function: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedError:
    """An exception that was raised in another process.

    :param kind: the name of its class, without the module.
    :param message: the end of Python's traceback, `ValueError: text`; for a SyntaxError with file, line and caret.
    :param frames: outermost first.
    :param cause: the exception that it was raised from.
    :param attributes: those of the exception that the other process reported.
    """

    kind: str
    message: str
    frames: tuple[Frame, ...] = ()
    cause: RaisedError | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CutTraceback:
    """An error as shown to users.

    :param what: the error's message, on one line.
    :param where: the user's innermost file, relative to the project's files, and its 1-based line; None if the
        traceback has no file of the user's.
    :param lines: the user's frames and the errors, in chronological order.
    :param root: the first error of the chain.
    """

    what: str
    where: tuple[str, int] | None
    lines: tuple[str, ...]
    root: RaisedError


def parse_stack(stack: Sequence[str]) -> tuple[Frame, ...]:
    """Parse the frames of dagster's `SerializableErrorInfo.stack` or of `traceback.format_tb`."""
    frames = []
    for entry in stack:
        first, _, rest = entry.partition("\n")
        if match := _FRAME.fullmatch(first.rstrip()):
            code = rest.strip().partition("\n")[0]
            frames.append(Frame(match["path"], int(match["line"]), match["function"], code))
    return tuple(frames)


def find_site_packages(error: RaisedError) -> str | None:
    """Find in the frames the directory that a source PEX was unpacked to; None if they do not show it."""
    paths = [frame.path for error_in_chain in chain(error) for frame in error_in_chain.frames]
    paths += [match["path"] for error_in_chain in chain(error) if (match := _SYNTAX.match(error_in_chain.message))]
    return next((match["site"] for path in paths if (match := _SITE_PACKAGES.match(path))), None)


def place(path: str, site_packages: str) -> str | None:
    """The name of a file in the project; None for files that are not the user's.

    :param site_packages: the directory that the source PEX was unpacked to.

    Files of local packages are named relative to `site-packages`, where they are installed.
    """
    if not path.startswith(f"{site_packages}/"):
        return None
    name = posixpath.normpath(path)[len(site_packages) + 1 :]
    if name.startswith(f"{_ROOT.partition('/')[0]}/"):
        return posixpath.relpath(f"/{name}", f"/{_ROOT}")
    return name


def chain(error: RaisedError) -> Iterator[RaisedError]:
    """An error and its causes, down to the first."""
    following: RaisedError | None = error
    while following is not None:
        yield following
        following = following.cause


def cut(error: RaisedError, site_packages: str) -> CutTraceback:
    """Reduce an error to the frames of the user's code, and the errors that it raised or received.

    :param site_packages: the directory that the source PEX was unpacked to.
    """
    errors = list(chain(error))
    root = errors[-1]
    shown = [cause for cause in reversed(errors) if cause.kind not in WRAPPERS] or [root]
    lines: list[str] = []
    where: tuple[str, int] | None = None
    for index, cause in enumerate(shown):
        if index:
            lines.append("which led to")
        own = list(_own(cause, site_packages))
        if len(own) > _LONGEST:
            lines.append(f"({len(own) - _LONGEST} calls before)")
        for name, frame in own[-_LONGEST:]:
            lines.append(f"{name}:{frame.line} in {frame.function}")
            if frame.text:
                lines.append(f"  {frame.text}")
        message = _message(cause, site_packages)
        lines += message.splitlines()
        where = (
            where or _place_in_message(cause, site_packages) or ((own[-1][0], own[-1][1].line) if own else None)
        )
    return CutTraceback(_summary(shown[-1], site_packages), where, tuple(lines), root)


def _own(error: RaisedError, site_packages: str) -> Iterator[tuple[str, Frame]]:
    for frame in error.frames:
        name = place(frame.path, site_packages)
        if name is not None:
            yield name, frame


def _message(error: RaisedError, site_packages: str) -> str:
    """The message with paths relative to the project, and the class name without its module."""
    message = error.message.strip("\n")
    if match := _SYNTAX.match(error.message):
        # The rest is the line of code with a caret below it.
        name = place(match["path"], site_packages) or match["path"]
        message = f"{name}:{match['line']}\n{error.message[match.end() :].rstrip()}"
    message = re.sub(rf"(?m)^(?:\w+\.)+(?={re.escape(error.kind)}\b)", "", message)
    return message.replace(f"{site_packages}/{_ROOT}/", "").replace(f"{site_packages}/", "")


def _summary(error: RaisedError, site_packages: str) -> str:
    message = _message(error, site_packages)
    if error.kind and (start := message.rfind(f"\n{error.kind}")) >= 0:
        # The text before it is code.
        message = message[start + 1 :]
    return message.partition("\n")[0]


def _place_in_message(error: RaisedError, site_packages: str) -> tuple[str, int] | None:
    match = _SYNTAX.match(error.message)
    name = place(match["path"], site_packages) if match else None
    return (name, int(match["line"])) if match and name else None
