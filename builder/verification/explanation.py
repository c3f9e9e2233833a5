"""A failure to load: what is known about it, and its explanation for users."""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.assembly.source_tree import ROOT
from builder.errors import Origin
from builder.project.location import CodeSource


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureContext:
    """What is known about a location besides its error.

    :param directory: the build directory, if it is on this machine.
    :param project: the directory of the manifest.
    :param declared: where the location is declared.
    :param lines: where settings of it are, as in `Location.lines`.
    :param names: of the files of the source PEX.
    :param source: `site-packages` of the unpacked source PEX.
    :param deps: `site-packages` of the unpacked deps PEX.
    :param variables: names of environment variables that are set here but not passed to the code.
    """

    code: CodeSource
    python_version: str
    directory: Path | None
    project: Path | None
    declared: Origin | None
    lines: Mapping[str, Origin]
    names: frozenset[str]
    source: Path
    deps: Path
    variables: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        """The file that declares the location, as shown to users."""
        return workspace_file(self.declared)

    @property
    def packed(self) -> frozenset[str]:
        """The names of the project's files in the source PEX."""
        prefix = f"{ROOT}/"
        return frozenset(name.removeprefix(prefix) for name in self.names if name.startswith(prefix))

    def texts(self) -> Iterator[tuple[str, str]]:
        """The names of the project's modules, and their text as it was unpacked."""
        for name in sorted(self.packed):
            if name.endswith(".py"):
                yield name, (self.source / ROOT / name).read_text(encoding="utf-8", errors="replace")

    def shown(self, path: Path) -> str:
        """A directory relative to the workspace file, with a trailing slash; empty for the workspace's own."""
        base = self.declared.path.parent if self.declared else path
        relative = os.path.relpath(path, base)
        return "" if relative == "." else f"{relative}/"


def workspace_file(declared: Origin | None) -> str:
    """The file that declares a location, as shown to users."""
    return f"`{declared.path.name}`" if declared else "the workspace file"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A message that explains an error.

    :param what: one sentence without a full stop.
    :param remedy: what to do about it.
    :param setting: the setting of the location that it is about, as in `Location.lines`; None if it is the code.
    :param file: the project's file that it is about, if that is not where the error was raised.
    """

    what: str
    remedy: str | None
    setting: str | None = None
    file: str | None = None
