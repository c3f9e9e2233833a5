"""What is known of a failure to load, and how it is explained to users."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from pathlib import Path

from builder.errors import Origin
from builder.verification.load import CodeSource


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureContext:
    """What is known about a location besides its error.

    :param directory: the build directory, if it is on this machine.
    :param project: the directory of the manifest.
    :param declared: where the location is declared.
    :param packed: the names of the project's files in the source PEX.
    :param source: `site-packages` of the unpacked source PEX.
    :param deps: `site-packages` of the unpacked deps PEX.
    :param variables: names of environment variables that are set here but not passed to the code.
    """

    code: CodeSource
    python_version: str
    directory: Path | None
    project: Path | None
    declared: Origin | None
    packed: frozenset[str]
    source: Path
    deps: Path
    variables: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        """The file that declares the location, as shown to users."""
        return f"`{self.declared.path.name}`" if self.declared else "the workspace file"

    def shown(self, path: Path) -> str:
        """A directory relative to the workspace file, with a trailing slash; empty for the workspace's own."""
        base = self.declared.path.parent if self.declared else path
        relative = os.path.relpath(path, base)
        return "" if relative == "." else f"{relative}/"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A message that explains an error.

    :param what: one sentence without a full stop.
    :param remedy: what to do about it.
    :param of_workspace: whether it is about the workspace file, not the code.
    :param file: the project's file that it is about, if that is not where the error was raised.
    """

    what: str
    remedy: str | None
    of_workspace: bool = False
    file: str | None = None
