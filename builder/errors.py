"""All errors that a user of the builder can cause or meet.

BuilderError                 exit code 1
├── UsageError               exit code 2: the command line itself is wrong
│   └── UnknownLocationError     a location that was named does not exist
├── ProjectError             the project or its workspace file declares something that cannot be right
├── ResolutionError          no set of distributions satisfies the requirements, or one is missing
│   └── InvalidLockError         a lock is not a pylock.toml
├── TargetError              the target is unknown, or this machine lacks the Python that it needs
├── FetchError               a distribution could not be downloaded, or is not what the lock promises
├── SdistBuildError          a source distribution could not be built into a wheel
├── AssemblyError            wheels or files that cannot become a PEX file
│   ├── FileNameError            a file name is not UTF-8
│   └── PathTakenError           files from inside and outside the build directory have the same path
├── ImageError               a container image could not be built, or is damaged
├── NetworkError             the proxy or the certificates that this machine names cannot be used
├── ToolError                a program that the builder relies on is missing or misbehaves
├── PublishError             a file could not be brought into a registry whole
├── CloudError               Dagster Cloud cannot be reached, or refuses what it is asked
├── ContextError             the deployment for this code cannot be determined
├── LoadError                a code location does not load, here or on the server
├── PackagesError            the packages of a repository cannot be found, versioned, built or checked as asked
└── StorageError             a file could not be written: disk full, no permission

Interrupted                  SIGINT, SIGTERM or SIGHUP: exit code 128 + signal number

Library code raises these and never prints or exits. `builder.terminal.running.run_command` is the one place that
turns them into a message and an exit code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something was declared: a file and, where it has one, a 1-based line."""

    path: Path
    line: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.line is None else f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: library code returns it, commands show it.

    :param text: one sentence without a full stop, with what to do: docs/troubleshooting.md has them all.
    :param where: the file and line that it is about.
    :param is_note: nothing is to be done about it, so it is said as a fact, not as a warning.
    """

    text: str
    where: Origin | None = None
    is_note: bool = False


def without_credentials(text: str) -> str:
    """A text whose URLs name neither user nor password."""
    return re.sub(r"://[^/@\s]+@", "://", text)


class BuilderError(Exception):
    """The base of all errors: what happened, where, and what to do about it.

    :param what: one sentence without a full stop; names and paths in backquotes.
    :param where: the file and line that the user should look at.
    :param detail: lines from another program, already shortened to what matters.
    :param verbose_detail: more of them, for --verbose.
    :param remedy: what to do next, as an imperative sentence.

    Credentials in URLs are left out of all of them.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: Origin | None = None,
        detail: str | None = None,
        verbose_detail: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = without_credentials(what)
        self.where = where
        self.detail = without_credentials(detail) if detail else None
        self.verbose_detail = without_credentials(verbose_detail) if verbose_detail else self.detail
        self.remedy = without_credentials(remedy) if remedy else None
        super().__init__(self.what)


class UsageError(BuilderError):
    """The command line is wrong in a way that the parser cannot see."""

    exit_code = 2


class UnknownLocationError(UsageError):
    """A location that was named does not exist.

    :param file: what lists the locations.
    """

    def __init__(self, name: str, file: Path, known: Iterable[str], *, hint: str = "") -> None:
        super().__init__(
            f"there is no location `{name}` in `{file}`", remedy=f"Choose from: {', '.join(known)}{hint}"
        )


class ProjectError(BuilderError):
    """The project or its workspace file declares something that cannot be right."""


class ResolutionError(BuilderError):
    """No set of distributions satisfies the requirements, or a necessary one is missing from it."""


class InvalidLockError(ResolutionError):
    """A file is not a pylock.toml (PEP 751).

    :param error: that of the parser.
    """

    def __init__(
        self, error: Exception, where: Origin, remedy: str = "Make the lock again with the tool that wrote it"
    ) -> None:
        super().__init__(f"the lock is not a valid pylock.toml: {error}", where=where, remedy=remedy)


class TargetError(BuilderError):
    """The target is unknown, or this machine lacks the Python that it needs."""


class FetchError(BuilderError):
    """A distribution could not be downloaded, or is not what the lock promises."""


class SdistBuildError(BuilderError):
    """A source distribution or a local package could not be built into a wheel."""


class AssemblyError(BuilderError):
    """Wheels or files that cannot become a PEX file."""


class FileNameError(AssemblyError):
    """A file has a name that is not UTF-8."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the file name {name!a} is not valid UTF-8", remedy="Rename it, or leave it out of the build"
        )


class PathTakenError(AssemblyError):
    """Files from inside and outside the build directory have the same path.

    :param archive: what they would be packed into.
    """

    def __init__(self, path: str, archive: str) -> None:
        super().__init__(
            f"two files would be `{path}` in the {archive}",
            remedy="Take the path that leads there out of `include`",
        )


class ImageError(BuilderError):
    """A container image could not be built, or is damaged."""


class NetworkError(BuilderError):
    """The proxy or the certificates that this machine's settings name cannot be used."""


class ToolError(BuilderError):
    """A program that the builder relies on is missing or misbehaves."""


class PublishError(BuilderError):
    """A file could not be brought into a registry whole."""


class CloudError(BuilderError):
    """Dagster Cloud cannot be reached, or refuses what it is asked."""


class ContextError(BuilderError):
    """The deployment for this code cannot be determined with certainty."""


class LoadError(BuilderError):
    """A code location does not load, here or on the server."""


class PackagesError(BuilderError):
    """The packages of a repository cannot be found, versioned, built or checked as asked."""


class StorageError(BuilderError):
    """A file could not be written: the disk is full, or permission is missing."""


class Interrupted(BaseException):
    """The user or the machine asked the run to stop.

    Like KeyboardInterrupt it is not an Exception: it can be raised anywhere, and `except Exception` must not
    catch it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
