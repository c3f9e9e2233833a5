"""Files outside the build directory: those that `include` selects, and those that code refers to."""

from __future__ import annotations

import os.path
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ProjectError
from builder.project.code_paths import NamedPath, named_paths
from builder.project.component_paths import FILES, component_paths
from builder.project.files import ProjectFile, Selection, select_files

_UP: Final = "../"

_LARGEST_CODE: Final = 1 << 20

# Code that does not run on the server.
_NOT_RUN: Final = re.compile(r"(.*/)?(setup|noxfile|conftest|test_[^/]*|[^/]*_test)\.py")


@dataclass(frozen=True, slots=True)
class ExternalPath:
    """A directory or file outside the build directory that is packed as well.

    :param name: its path relative to the build directory, such as `../dbt_project`; it has the same relative path
        in the unpacked source PEX.
    """

    name: str
    selection: Selection


def split_include(include: Iterable[str]) -> tuple[list[str], list[str]]:
    """Include patterns for the build directory, and paths outside it."""
    patterns = list(include)
    return [text for text in patterns if not text.startswith(_UP)], [
        posixpath.normpath(text) for text in patterns if text.startswith(_UP)
    ]


def select_outside(
    directory: Path, names: Sequence[str], *, respect_gitignore: bool, out_dir: Path | None
) -> list[ExternalPath]:
    """Select the files of paths outside a build directory; raises ProjectError if one is missing."""
    selected = []
    for name in names:
        path = Path(os.path.normpath(directory / name))
        if path.is_dir():
            selection = select_files(path, include=(), respect_gitignore=respect_gitignore, out_dir=out_dir)
        elif path.is_file():
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            selection = Selection((ProjectFile("", path, mode),))
        else:
            raise ProjectError(
                f"`include` names `{name}`, but `{path}` does not exist",
                remedy=f"Correct the path; it is relative to `{directory}`",
            )
        selected.append(ExternalPath(name, selection))
    return selected


def paths_named_outside(directory: Path, selection: Selection, included: Sequence[str]) -> Iterator[Notice]:
    """A notice for each path in the project's code to an existing file or directory outside the build directory.

    At run time it is missing unless it is included.
    """
    directory = Path(os.path.realpath(directory))
    taken = {Path(os.path.normpath(directory / name)) for name in included}
    for file in selection.files:
        if file.path is None or file.link or not file.name.endswith((".py", *FILES)):
            continue
        if _NOT_RUN.fullmatch(file.name):
            continue
        outside: dict[Path, NamedPath] = {}
        for named in _named_paths(file.path, directory):
            if path := _place_outside(named, file.path, directory):
                outside.setdefault(path, named)
        for path, named in outside.items():
            if {path, *path.parents} & taken or not outside.keys().isdisjoint(path.parents):
                continue
            wanted = posixpath.normpath(os.path.relpath(path, directory))
            yield Notice(
                f"the code names `{named.text}`, which is outside the build directory and will not be there at run"
                f' time; if it is needed, write include = ["{wanted}"] under [tool.builder]',
                Origin(file.path, named.line),
            )


def _named_paths(file: Path, directory: Path) -> Iterator[NamedPath]:
    text = _code(file)
    return component_paths(text, directory) if file.name in FILES else named_paths(text, file, directory)


def _place_outside(named: NamedPath, file: Path, directory: Path) -> Path | None:
    """The file or directory of a path, if it exists and neither is in the build directory nor contains it.

    A relative path may be relative to the file's directory, to the file itself (`Path(__file__) / "../x"`), or to
    the working directory.
    """
    for base in (file.parent, file, directory):
        path = Path(os.path.normpath(base / named.path))
        if not path.is_relative_to(directory) and path.exists():
            return None if directory.is_relative_to(path) else path
    return None


def _code(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size <= _LARGEST_CODE else ""
    except OSError:
        return ""
