"""Choosing the Python version without an option: by `.python-version`, `requires-python` or a Pipfile.

No code of the project is run for this.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from builder.errors import Notice, Origin, ProjectError
from builder.project.lines import line_of_name
from builder.project.location import SourceTree
from builder.project.locks import declares_by_pipfile, find_lock, load_lock
from builder.project.poetry import read_poetry, uses_poetry
from builder.project.setup_cfg import read_setup_cfg
from builder.project.toml_file import TomlFile
from builder.system.git import find_repository

_PIN: Final = re.compile(r"(?:cpython|python)?[-@]?(\d+\.\d+)(?:\.\w+)*(?:[-+].*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ChosenPython:
    """A version, and the file that decided it; without a file it is the default.

    :param version: such as "3.12".
    :param notices: warnings about settings that were not used.
    """

    version: str
    because: Origin | None = None
    notices: tuple[Notice, ...] = ()


def choose_python(trees: Iterable[SourceTree], versions: Sequence[str], default: str) -> ChosenPython:
    """Choose the Python version for all of these source trees.

    The nearest `.python-version`, from the build directory up to the root of the repository, decides. Without one
    it is the default or, if `requires-python` or a range in `.python-version` excludes that, the nearest version
    that all trees allow.

    :param versions: the supported versions, in order.

    Raises ProjectError for trees whose `.python-version` differ.
    """
    trees = tuple(dict.fromkeys(trees))
    pins = dict.fromkeys(pin for tree in trees if (pin := _pinned(tree)))
    usable = [(version, where) for version, where in pins if version in versions]
    if usable:
        version, where = usable[0]
        for other, place in usable[1:]:
            if other != version:
                raise ProjectError(
                    f"`{where}` asks for Python {version}, `{place}` for Python {other}; a run builds for one",
                    where=place,
                    remedy="Choose with --python-version, or build each location in a run of its own (--location)",
                )
        return ChosenPython(version, where, _unusable(pins, versions))
    limits = [limit for tree in trees for limit in (_pinned_range(tree), _limit(tree.project)) if limit]
    number = versions.index(default)
    for version in sorted(versions, key=lambda candidate: abs(versions.index(candidate) - number)):
        if all(_allows(allowed, version) for allowed, _where in limits):
            because = next((where for allowed, where in limits if not _allows(allowed, default)), None)
            return ChosenPython(version, because, _unusable(pins, versions))
    # Reading the project reports the requirement that cannot be met.
    return ChosenPython(default, None, _unusable(pins, versions))


def _unusable(pins: Iterable[tuple[str, Origin]], versions: Sequence[str]) -> tuple[Notice, ...]:
    known = ", ".join(versions)
    return tuple(
        Notice(f"Python {version} is not used: write one that serverless images have: {known}", where)
        for version, where in pins
        if version not in versions
    )


def _pinned(tree: SourceTree) -> tuple[str, Origin] | None:
    text, where = _pin_file(tree)
    # Other texts are names of pyenv environments, or of other implementations.
    match = _PIN.fullmatch(text)
    return (match[1], where) if match else None


def _pinned_range(tree: SourceTree) -> tuple[SpecifierSet, Origin] | None:
    """The specifier of a pin that is a range, as uv accepts it: `>=3.12,<3.14`."""
    text, where = _pin_file(tree)
    with contextlib.suppress(InvalidSpecifier):
        return (SpecifierSet(text), where) if text else None
    return None


def _pin_file(tree: SourceTree) -> tuple[str, Origin]:
    """The first entry of the nearest `.python-version`, or of uv's `.python-versions` if that is missing."""
    top = find_repository(tree.directory)
    for directory in dict.fromkeys((*_upwards(tree.directory, top), *_upwards(tree.project, top))):
        for path in (directory / ".python-version", directory / ".python-versions"):
            if path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                texts = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
                number, text = next(((number, text) for number, text in texts if text), (1, ""))
                return text, Origin(path, number)
    return "", Origin(tree.project)


def _upwards(directory: Path, top: Path | None) -> Iterator[Path]:
    yield directory
    if top is not None and directory.is_relative_to(top):
        yield from (parent for parent in directory.parents if parent.is_relative_to(top))


def _limit(project: Path) -> tuple[SpecifierSet, Origin] | None:
    """The `requires-python` of a project, if a file declares it."""
    try:
        text, where = _requires_python(project)
        return (SpecifierSet(text), where) if text else None
    except (InvalidSpecifier, ProjectError):
        # Reading the project reports the error, without stopping the builds of others.
        return None


def _requires_python(project: Path) -> tuple[str, Origin]:
    pyproject = TomlFile.pyproject(project)
    declared = pyproject.table("project").get("requires-python")
    if isinstance(declared, str):
        return declared, pyproject.origin("project", "requires-python")
    if uses_poetry(project):
        return read_poetry(project).requires_python, pyproject.origin("tool", "poetry", "dependencies", "python")
    if (lock := find_lock(project)) and lock.name == "pylock.toml":
        said = load_lock(lock).get("requires-python")
        return said if isinstance(said, str) else "", line_of_name("requires-python", lock)
    if declares_by_pipfile(project) and (pipfile := project / "Pipfile").is_file():
        file = TomlFile.load(pipfile)
        version = file.table("requires").get("python_version")
        return f"=={version}.*" if isinstance(version, str) else "", file.origin("requires", "python_version")
    metadata = read_setup_cfg(project)
    if metadata is None:
        return "", Origin(project)
    return metadata.requires_python, line_of_name("python_requires", metadata.manifest)


def _allows(allowed: SpecifierSet, version: str) -> bool:
    """Whether any patch release of a version is allowed."""
    return any(allowed.contains(f"{version}.{patch}", prereleases=True) for patch in (0, 99))
