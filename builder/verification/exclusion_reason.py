"""Finding the rule that excluded a file of the build directory from the source PEX."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import BuilderError
from builder.project.exclusions import Reason
from builder.project.external_files import split_include
from builder.project.files import directories_of, select_files
from builder.project.patterns import IGNORE_FILE, Line
from builder.project.settings import read_settings

_INCLUDE: Final = 'write include = ["{name}"] under [tool.builder] in its `pyproject.toml`'


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """A rule that excluded a file.

    :param rule: its description, to follow "is missing:".
    :param remedy: how to include the file, as an imperative.
    """

    rule: str
    remedy: str


def why_left_out(directory: Path, name: str) -> ExclusionRule | None:
    """The rule that excluded a file or directory; None if there is no such file, or no rule applies to it.

    :param directory: the build directory.
    :param name: POSIX path relative to `directory`; may be outside it (`../…`).
    """
    name = posixpath.normpath(name)
    if not (directory / name).exists():
        return None
    if name.startswith("../"):
        top = _top_outside(name)
        return ExclusionRule(
            "it lies outside the build directory", f"To take it in, {_INCLUDE.format(name=top)}; then build again"
        )
    try:
        settings = read_settings(directory)
        include, _ = split_include(settings.include)
        selection = select_files(
            directory, include=include, respect_gitignore=settings.respect_gitignore, out_dir=None
        )
    except BuilderError:
        return None
    if any(file.name == name for file in selection.files):
        return None
    for entry in (*directories_of(name), name):
        if entry in selection.left_out:
            return _explain(selection.left_out[entry], entry, name)
    return None


def _explain(rule: Reason | Line, entry: str, name: str) -> ExclusionRule:
    """Describe the rule that excluded `entry`, which is `name` or a parent directory of it."""
    include = _INCLUDE.format(name=name)
    take_in = f"To take it in, {include}; then build again"
    if rule is Reason.SECRET:
        remedy = f"Give the code its secrets as environment variables; or, if it is none, {include}"
        return ExclusionRule(f"`{entry}` was left out since it looks like a secret", remedy)
    if isinstance(rule, Reason):
        return ExclusionRule(f"`{entry}` is always left out, as a leftover", take_in)
    what = "it" if entry == name else f"`{entry}`"
    text = f"line {rule.number} of `{rule.file}` leaves {what} out"
    if posixpath.basename(rule.file) == IGNORE_FILE:
        return ExclusionRule(text, f"Remove that line, or {include}; then build again")
    return ExclusionRule(f"{text}, which `respect-gitignore` obeys", take_in)


def _top_outside(name: str) -> str:
    """The path to include for a file outside the build directory: `../a` for `../a/b/c`."""
    up, _, rest = name.rpartition("../")
    return f"{up}../{rest.partition('/')[0]}"
