"""Detecting what CI checkouts omit by default: git-lfs content, submodules, history and tags.

A build of such a checkout succeeds with wrong content. Each notice names the line of the workflow to change.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ToolError
from builder.project.files import ProjectFile
from builder.system.git import find_repository, open_repository

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer is smaller than 1024 bytes.
_POINTER: Final = b"version https://git-lfs.github.com/spec/v1\n"
_LARGEST_POINTER: Final = 1024

_SHOWN: Final = 3
_CHECKOUT: Final = re.compile(r"\s*(?:-\s+)?uses:\s*[\"']?actions/checkout@")

_LFS: Final = ("lfs: true", "git lfs pull")
_SUBMODULES: Final = ("submodules: true", "git submodule update --init")
_HISTORY: Final = ("fetch-depth: 0", "git fetch --unshallow --tags")


def pointer_notices(directory: Path, files: Iterable[ProjectFile]) -> Iterator[Notice]:
    """A notice if files are packed as git-lfs pointers instead of their content."""
    pointers = [file.name for file in files if file.path is not None and _is_pointer(file.path)]
    if pointers:
        more = f" and {len(pointers) - _SHOWN} more" if len(pointers) > _SHOWN else ""
        names = ", ".join(f"`{name}`" for name in pointers[:_SHOWN]) + more
        yield _notice(
            f"git-lfs has not fetched {names}: what is packed is a pointer, not the data", directory, _LFS
        )


def submodule_notices(directory: Path) -> Iterator[Notice]:
    """A notice for each submodule inside a build directory that is not checked out."""
    for path in empty_submodules(directory):
        if path.is_relative_to(directory):
            name = path.relative_to(directory).as_posix()
            yield _notice(f"the submodule `{name}` is empty: it is not checked out", directory, _SUBMODULES)


def submodule_remedy(directory: Path) -> str | None:
    """The remedy for a directory that is, or is in, a submodule that is not checked out; None for others."""
    if any(directory.is_relative_to(path) for path in empty_submodules(directory)):
        return f"It is a submodule that is not checked out: {_what_to_do(directory, _SUBMODULES)[0]}"
    return None


def history_notices(packages: Iterable[Path]) -> Iterator[Notice]:
    """A notice for packages whose version comes from git, in a clone without history and tags."""
    for package in packages:
        if find_repository(package) is None:
            continue
        try:
            with open_repository(package) as repository:
                shallow = repository.run("rev-parse", "--is-shallow-repository").stdout.strip() == "true"
                tagged = repository.run("describe", "--tags", "--abbrev=0", also=128).code == 0
        except ToolError:
            continue
        if shallow and not tagged:
            text = f"`{package.name}` takes its version from git, and this clone is shallow and has no tag"
            yield _notice(text, package, _HISTORY)


def empty_submodules(directory: Path) -> list[Path]:
    """The declared submodules of a directory's repository that have no files."""
    root = find_repository(directory)
    declared = root / ".gitmodules" if root else None
    if root is None or declared is None or not declared.is_file():
        return []
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        # Lines of it are indented, which here would continue the line before.
        text = declared.read_text(encoding="utf-8")
        parser.read_string("\n".join(line.strip() for line in text.splitlines()))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return []
    paths = [
        root / parser.get(section, "path") for section in parser.sections() if parser.has_option(section, "path")
    ]
    return [path for path in paths if path.is_dir() and not any(path.iterdir())]


def _is_pointer(path: Path) -> bool:
    try:
        if path.stat().st_size >= _LARGEST_POINTER:
            return False
        with path.open("rb") as stream:
            return stream.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _notice(text: str, directory: Path, what: tuple[str, str]) -> Notice:
    remedy, where = _what_to_do(directory, what)
    return Notice(f"{text}; {remedy}", where)


def _what_to_do(directory: Path, what: tuple[str, str]) -> tuple[str, Origin | None]:
    """The remedy for an incomplete checkout, and the line of the workflow that made it."""
    setting, command = what
    root = find_repository(directory)
    where = _checkout_step(root, os.environ) if root else None
    if where:
        return f"write `{setting}` under `with:` of this step, or run `{command}` before", where
    return f"run `{command}`, or write `{setting}` under `with:` of `actions/checkout`", None


def _checkout_step(root: Path, environ: Mapping[str, str]) -> Origin | None:
    """The line of `actions/checkout` in the running workflow, else in the first workflow that has one."""
    # OWNER/REPOSITORY/.github/workflows/deploy.yml@refs/heads/main
    running = re.search(r"\.github/workflows/[^@/]+", environ.get("GITHUB_WORKFLOW_REF", ""))
    paths = [root / running[0]] if running else []
    paths += sorted((root / ".github" / "workflows").glob("*.y*ml"))
    for path in paths:
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for number, line in enumerate(lines, 1):
                if _CHECKOUT.match(line):
                    return Origin(path, number)
    return None
