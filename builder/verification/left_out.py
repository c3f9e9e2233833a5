"""Why something in the build directory is not in the source PEX: the reverse of `builder.project.walking`."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import BuilderError
from builder.project.exclusions import (
    Reason,
    contents_reason,
    directory_reason,
    file_reason,
    holds_secret,
    surroundings,
)
from builder.project.patterns import IGNORE_FILE, IgnoreRules
from builder.project.settings import read_settings
from builder.system import git

_INCLUDE: Final = 'write include = ["{name}"] under [tool.builder] in its `pyproject.toml`'


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rule that left something out.

    :param rule: what it is, to stand after "is missing:".
    :param remedy: how to take it in, as an imperative.
    """

    rule: str
    remedy: str


def why_left_out(directory: Path, name: str) -> LeftOut | None:
    """The rule that left a file or directory out; None if there is no such file, or no rule that names it.

    :param directory: the build directory.
    :param name: posix path relative to it; may lead out of it.
    """
    name = posixpath.normpath(name)
    if not (directory / name).exists():
        return None
    if name.startswith("../"):
        top = _top_outside(name)
        return LeftOut(
            "it lies outside the build directory", f"To take it in, {_INCLUDE.format(name=top)}; then build again"
        )
    parts = name.split("/")
    rules: list[IgnoreRules] = []
    for index, part in enumerate(parts):
        here = "/".join(parts[:index])
        try:
            rules += _rules_in(directory, here)
        except BuilderError:
            return None
        entry = "/".join(parts[: index + 1])
        is_directory = index < len(parts) - 1 or (directory / name).is_dir()
        if found := _ignored(rules, f"{entry}/" if is_directory else entry):
            remedy = f"Remove that line, or {_INCLUDE.format(name=name)}; then build again"
            what = "it" if found[2] == name else f"`{found[2]}`"
            return LeftOut(f"line {found[1]} of `{found[0]}` leaves {what} out", remedy)
        if found_reason := _reason(directory, here, part, is_directory=is_directory):
            return _of_reason(found_reason, entry + ("/" if is_directory else ""), name)
    return _ignored_by_git(directory, name)


def _rules_in(directory: Path, name: str) -> list[IgnoreRules]:
    path = directory / name / IGNORE_FILE
    return [IgnoreRules(str(path), f"{name}/" if name else "")] if path.is_file() else []


def _ignored(rules: list[IgnoreRules], entry: str) -> tuple[str, int, str] | None:
    """The file and line that leave an entry out, and the entry."""
    for each in reversed(rules):
        rule = each.rule(entry)
        if rule is not None:
            line, ignored = rule
            return (f"{each.prefix}{IGNORE_FILE}", line, entry) if ignored else None
    return None


def _reason(directory: Path, here: str, part: str, *, is_directory: bool) -> Reason | None:
    parent = posixpath.basename(here)
    path = directory / here / part
    if not is_directory:
        reason = file_reason(part, parent)
        secret = reason is None and holds_secret(str(path), part, path.stat().st_size)
        return Reason.SECRET if secret else reason
    around = surroundings(str(directory / here), set(os.listdir(directory / here)))  # noqa: PTH208  (names only)
    names = set(os.listdir(path))  # noqa: PTH208
    return directory_reason(part, parent) or contents_reason(part, names, around)


def _of_reason(reason: Reason, entry: str, name: str) -> LeftOut:
    include = _INCLUDE.format(name=name)
    if reason is Reason.SECRET:
        remedy = f"Give the code its secrets as environment variables; or, if it is none, {include}"
        return LeftOut(f"`{entry}` was left out since it looks like a secret", remedy)
    return LeftOut(f"`{entry}` is always left out, as a leftover", f"To take it in, {include}; then build again")


def _ignored_by_git(directory: Path, name: str) -> LeftOut | None:
    try:
        if not read_settings(directory).respect_gitignore:
            return None
        with git.open_repository(directory) as repository:
            said = repository.run("check-ignore", "--verbose", "--", name, directory=directory, also=1).stdout
    except BuilderError:
        return None
    source, _, rest = said.partition(":")
    line, _, _pattern = rest.partition(":")
    if not line.isdigit():
        return None
    return LeftOut(
        f"line {line} of `{source}` leaves it out, which `respect-gitignore` obeys",
        f"To take it in, {_INCLUDE.format(name=name)}; then build again",
    )


def _top_outside(name: str) -> str:
    """The directory to include for a file outside: its own, unless it lies right beside the build directory."""
    up, _, rest = name.rpartition("../")
    return f"{up}../{rest.partition('/')[0]}"
