"""Resolving requirements to a lock with uv, or reading the project's own lock."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Final

from packaging.markers import Marker
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from builder.errors import Notice, Origin, ResolutionError
from builder.project.locks import KINDS, read_lock_text
from builder.project.names import required_name
from builder.project.requirements import NO_EXTRAS, Requirements
from builder.project.toml_file import TomlFile
from builder.resolution import resolution_cache, uv
from builder.resolution.completeness import check_complete, check_not_asked_for
from builder.resolution.dagster_cloud import (
    added_notice,
    asking_for_dagster_cloud,
    lacks_dagster_cloud,
)
from builder.resolution.indexes import read_indexes
from builder.resolution.known_constraints import crashing
from builder.resolution.lock import Lock, allowed_hashes, read_lock
from builder.resolution.pinned_locks import pinned_requirements
from builder.resolution.poetry_lock import locked_requirements
from builder.resolution.series import series
from builder.resolution.target import Target
from builder.system import process

_NOTICE = "# notice: "
_NO_INTERPRETER = re.compile(r"No interpreter found|incompatible with the project's Python requirement")


@dataclass(frozen=True, slots=True)
class Resolution:
    """A lock, its age in seconds if it was resolved by an earlier build, and warnings about it."""

    lock: Lock
    age: int | None = None
    notices: tuple[Notice, ...] = ()


def resolve(requirements: Requirements, target: Target) -> Resolution:
    """Resolve a project's requirements, or read its own lock if it has one.

    Raises ResolutionError with uv's message, shortened, and the file and line of the requirement that caused it;
    FetchError if the index cannot be reached; ResolutionError if `dagster` or `dagster-cloud` is missing.
    """
    if requirements.lock is None:
        resolution = _resolve(requirements, target)
    elif KINDS[requirements.lock.name].pins:
        read_lock_file = locked_requirements if requirements.lock.name == "poetry.lock" else pinned_requirements
        resolution = _resolve(read_lock_file(requirements, requirements.lock), target)
    else:
        resolution = _obey(requirements, requirements.lock, target)
    check_not_asked_for(resolution.lock, requirements)
    adding = lacks_dagster_cloud(resolution.lock, requirements)
    if adding:
        resolution = _with_dagster_cloud(resolution, requirements, target)
    check_complete(resolution.lock, requirements)
    _check_versions(resolution, requirements)
    added = [added_notice(resolution.lock, requirements)] if adding else []
    return replace(
        resolution,
        lock=replace(resolution.lock, asked=requirements),
        notices=(*resolution.notices, *added, *crashing(resolution.lock, requirements)),
    )


def _with_dagster_cloud(resolution: Resolution, requirements: Requirements, target: Target) -> Resolution:
    if requirements.lock is None:
        return _resolve(asking_for_dagster_cloud(requirements), target)
    return replace(resolution, lock=_uv_resolve().locked_with_dagster_cloud(resolution.lock, requirements, target))


def local_packages(requirements: Requirements, target: Target) -> tuple[Path, ...]:
    """The directories of the user's own packages for a target, the project's first. Works without network."""
    if requirements.lock is None or KINDS[requirements.lock.name].pins:
        return requirements.local_packages
    document = tomllib.loads(_export(requirements, requirements.lock, "--frozen"))
    environment: dict[str, str | AbstractSet[str]] = dict(target.markers)
    environment["extras"] = {*requirements.wanted.extras}
    environment["dependency_groups"] = {*document.get("default-groups", ()), *requirements.wanted.groups}
    paths = (
        package.get("directory", {}).get("path")
        for package in document.get("packages", [])
        if "marker" not in package or Marker(package["marker"]).evaluate(environment, "lock_file")
    )
    directories = (Path(os.path.normpath(requirements.directory / path)) for path in paths if path)
    return tuple(sorted(directories, key=lambda path: path != requirements.directory))


def _resolve(requirements: Requirements, target: Target) -> Resolution:
    indexes = read_indexes(requirements.directory, requirements.options)
    place = resolution_cache.entry_path(requirements, target, indexes)
    known = resolution_cache.load(place) if place else None
    text, age = known or (_with_notices(*_uv_resolve().resolve_anew(requirements, target, indexes)), None)
    origin = requirements.lines[0].origin if requirements.lines else Origin(requirements.directory)
    hashes = allowed_hashes(requirements.lines)
    places = {required_name(line.text): line.origin for line in requirements.lines}
    lock = read_lock(text, target, base=requirements.directory, origin=origin, hashes=hashes, places=places)
    if place and not known:
        resolution_cache.save(place, text)
    return Resolution(replace(lock, indexes=indexes), age, (*indexes.notices, *_written_notices(text)))


def _with_notices(text: str, notices: Sequence[Notice]) -> str:
    """A lock with the warnings about it in comments at its head."""
    places = [(str(notice.where.path), notice.where.line) if notice.where else (None, None) for notice in notices]
    heads = [(notice.text, *place, notice.is_note) for notice, place in zip(notices, places, strict=True)]
    return "".join(f"{_NOTICE}{json.dumps(head)}\n" for head in heads) + text


def _written_notices(text: str) -> tuple[Notice, ...]:
    heads = (json.loads(line.removeprefix(_NOTICE)) for line in text.splitlines() if line.startswith(_NOTICE))
    return tuple(
        Notice(said, Origin(Path(path), line) if path else None, *is_note) for said, path, line, *is_note in heads
    )


def _obey(requirements: Requirements, path: Path, target: Target) -> Resolution:
    # The lock has its files' URLs; the configured indexes only add credentials and network settings.
    indexes = read_indexes(requirements.directory)
    variables = indexes.transport.variables()
    notices: tuple[Notice, ...] = ()
    try:
        text = _export(requirements, path, "--locked", variables)
    except ResolutionError as error:
        if not _NO_INTERPRETER.search(error.detail or ""):
            raise
        # `--locked` needs a Python that the project supports, `--frozen` needs none.
        text = _export(requirements, path, "--frozen", variables)
        words = (
            "not compared with pyproject.toml, as this machine has no Python that the project allows; install one"
        )
        notices = (Notice(words, Origin(path)),)
    # An export has only the selected extras and groups; a pylock.toml has all, with markers.
    wanted = NO_EXTRAS if path.name == "uv.lock" else requirements.wanted
    lock = read_lock(text, target, base=requirements.directory, origin=Origin(path), hashes={}, wanted=wanted)
    return Resolution(replace(lock, indexes=indexes), notices=notices)


def _export(requirements: Requirements, lock: Path, mode: str, variables: Mapping[str, str] | None = None) -> str:
    """Export the project's own lock as a `pylock.toml`; mode `--locked` refuses one that is outdated."""
    if lock.name != "uv.lock":
        return read_lock_text(lock)
    arguments = ["export", mode, "--format", "pylock.toml", "--no-default-groups", "--no-header", "--no-annotate"]
    arguments += [f"--extra={extra}" for extra in requirements.wanted.extras]
    arguments += [f"--group={group}" for group in requirements.wanted.groups]
    try:
        # Without `--python`, uv would run the interpreter in `.python-version`, perhaps a file of the project.
        arguments += ["--no-python-downloads", "--quiet", "--python", _any_python(requirements.directory)]
        return uv.run(arguments, cwd=requirements.directory, extra_env=variables).stdout
    except process.ProcessFailed as error:
        raise _uv_resolve().lock_refused(error.stderr, lock) from error


def _uv_resolve() -> ModuleType:
    """The module that resolves with uv and explains its refusals."""
    # 10 ms to import, and not needed where a resolution is kept.
    from builder.resolution import uv_resolve  # noqa: PLC0415

    return uv_resolve


_OLDEST: Final = ">=3.8"


def _any_python(directory: Path) -> str:
    """The `--python` argument for reading the project's lock, which runs no code of the project."""
    text = TomlFile.pyproject(directory).table("project").get("requires-python")
    with contextlib.suppress(InvalidSpecifier):
        # In canonical form, since uv would run a path as an interpreter.
        return str(SpecifierSet(str(text or ""))) or _OLDEST
    return _OLDEST


def _check_versions(resolution: Resolution, requirements: Requirements) -> None:
    """Raise ResolutionError if `dagster-cloud` and `dagster` are of different, hence incompatible, series."""
    dagster, cloud = (resolution.lock.version_of(name) for name in ("dagster", "dagster-cloud"))
    if dagster is None or cloud is None or series(dagster) == series(cloud):
        return
    asked = requirements.origin_of("dagster")
    where = next((notice.where for notice in reversed(resolution.notices) if notice.where), asked)
    raise ResolutionError(
        f"dagster {dagster} and dagster-cloud {cloud} cannot work together",
        where=where or Origin(requirements.lock or requirements.directory),
        detail="\n".join(notice.text for notice in resolution.notices) or None,
        remedy=f"Require one version that both have: {_uv_resolve().of_both(resolution.lock, requirements)}",
    )
