"""Resolving requirements with uv: a new lock with warnings about it, or an error that explains uv's refusal."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w

from builder.errors import BuilderError, FetchError, Notice, Origin, ResolutionError
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.project.toml_file import TomlFile
from builder.resolution.availability import Availability
from builder.resolution.dagster_cloud import NAME, how_to_add
from builder.resolution.explanation import read_explanation, shorten
from builder.resolution.indexes import Indexes, read_indexes
from builder.resolution.known_constraints import perhaps_acting
from builder.resolution.lock import Lock, read_lock
from builder.resolution.lock_warnings import lock_warnings
from builder.resolution.refusals import explain as refusal_error
from builder.resolution.series import apart, dagster_first
from builder.resolution.target import Target
from builder.resolution.unreachable import NETWORK, unreachable
from builder.resolution.uv_compile import run_compile
from builder.system import process
from builder.terminal.formatting import quoted


def compile_requirements(
    requirements: Requirements,
    target: Target,
    indexes: Indexes,
    constraints: Sequence[str] = (),
    *,
    with_dependencies: bool = True,
) -> process.Finished:
    """Resolve with uv; the result's stdout is a `pylock.toml`, its stderr has warnings.

    Raises ResolutionError, FetchError or SdistBuildError, with the line of the requirement that caused it.
    """
    more = ["--no-annotate", "--format", "pylock.toml", *([] if with_dependencies else ["--no-deps"])]
    try:
        return run_compile(requirements, target, indexes, constraints, more=more)
    except process.ProcessFailed as error:
        raise refusal_error(read_explanation(error.stderr, Availability(requirements, target, indexes))) from error


def resolve_anew(requirements: Requirements, target: Target, indexes: Indexes) -> tuple[str, list[Notice]]:
    """Resolve with uv; returns the lock's text, and warnings about it."""
    finished, notices = _ask_for_one_series(requirements, target, indexes)
    warnings = re.findall(
        r"^warning: ((?:The package )?`([\w.-]+).* (?:is yanked.*|does not have an extra named .*))$",
        finished.stderr,
        re.MULTILINE,
    )

    def explain(constraints: list[str]) -> str | None:
        try:
            compile_requirements(requirements, target, indexes, constraints)
        except ResolutionError as error:
            return error.detail
        return None

    def newest(names: list[str]) -> dict[str, str]:
        indexed = {required_name(line.text): line.index for line in requirements.lines if line.index}
        lines = (RequirementLine(text=name, origin=Origin(Path()), index=indexed.get(name)) for name in names)
        bare = replace(requirements, lines=tuple(lines))
        return _versions(compile_requirements(bare, target, indexes, with_dependencies=False).stdout)

    notices += [Notice(f"{text}; require another", requirements.origin_of(name)) for text, name in warnings]
    notices += _acting_constraints(requirements, target, indexes, finished.stdout)
    notices += lock_warnings(finished.stdout, requirements.lines, target, newest, explain)
    return finished.stdout, notices


def _acting_constraints(
    requirements: Requirements, target: Target, indexes: Indexes, text: str
) -> Iterator[Notice]:
    """What the known constraints changed in a resolution with this result."""
    chosen = _versions(text)
    for known in perhaps_acting(requirements, chosen):
        if not any(_on_offer(version, requirements, target, indexes) for version in known.excluded):
            continue
        # What is required by its name is not constrained.
        named = RequirementLine(text=known.name, origin=Origin(requirements.directory))
        otherwise = replace(requirements, lines=(*requirements.lines, named))
        version = _versions(compile_requirements(otherwise, target, indexes).stdout).get(known.name, "")
        if version and not known.specifier.contains(version, prereleases=True):
            text = f"`{known.name}=={chosen[known.name]}` instead of {version}: {known.reason}"
            yield Notice(text, is_note=True)


def _on_offer(requirement: str, requirements: Requirements, target: Target, indexes: Indexes) -> bool:
    """Whether the indexes have anything for a requirement that is not yanked, so that it could be chosen.

    That is one page to read, where a whole resolution may read hundreds.
    """
    line = RequirementLine(text=requirement, origin=Origin(requirements.directory))
    try:
        run_compile(replace(requirements, lines=(line,)), target, indexes, more=["--no-deps"])
    except process.ProcessFailed as error:
        # Any other failure is for the whole resolution to explain.
        return "No solution found" not in error.stderr
    return True


def _versions(text: str) -> dict[str, str]:
    return {package["name"]: package.get("version", "") for package in tomllib.loads(text)["packages"]}


def _ask_for_one_series(
    requirements: Requirements, target: Target, indexes: Indexes
) -> tuple[process.Finished, list[Notice]]:
    """Resolve in the project's order of requirements; if versions then diverge, again with dagster-cloud first."""
    finished = compile_requirements(requirements, target, indexes)
    names = apart(finished.stdout, requirements.lines)
    again = replace(requirements, lines=dagster_first(requirements.lines))
    if not names or again.lines == requirements.lines:
        return finished, []
    better = compile_requirements(again, target, indexes)
    if len(apart(better.stdout, requirements.lines)) >= len(names):
        return finished, []
    text = (
        f"in the order of the requirements, {quoted(sorted(names))} would be years behind dagster, so they were"
        " resolved again with `dagster-cloud` first; list it first, and the build resolves once"
    )
    return better, [Notice(text, requirements.origin_of("dagster-cloud"))]


def of_both(lock: Lock, requirements: Requirements) -> str:
    """Requirements for the newest version that `dagster` and `dagster-cloud` both have."""
    names = ("dagster-cloud", "dagster")
    bare = replace(requirements, lines=tuple(RequirementLine(text=name, origin=Origin(Path())) for name in names))
    version = "X.Y.Z"
    if requirements.lock is None:
        with contextlib.suppress(ResolutionError, FetchError):
            text = compile_requirements(bare, lock.target, lock.indexes).stdout
            version = next(p["version"] for p in tomllib.loads(text)["packages"] if p["name"] == "dagster-cloud")
    return f"`dagster=={version}` and `dagster-cloud=={version}`"


def locked_with_dagster_cloud(lock: Lock, requirements: Requirements, target: Target) -> Lock:
    """Add to a project's own lock the `dagster-cloud` of its dagster, and the packages that only that requires.

    Locked packages stay unchanged. Raises ResolutionError if that is impossible.
    """
    path = requirements.lock or requirements.directory
    version = lock.version_of("dagster")
    pins = [f"{name}=={pinned}" for name, pinned in lock.versions.items() if pinned]
    asked = (RequirementLine(text=f"{NAME}=={version}", origin=Origin(path)),)
    bare = replace(requirements, lines=asked, constraints=(), lock=None)
    try:
        text = compile_requirements(bare, target, read_indexes(requirements.directory), pins).stdout
    except ResolutionError as error:
        raise ResolutionError(
            f"`{NAME}` is not in the lock, and `{NAME}=={version}` does not go with what is",
            where=Origin(path),
            detail=error.detail,
            remedy=f"Lock a dagster of which there is a {NAME}, and that too: {how_to_add(requirements, 'X.Y.Z')}",
        ) from error
    merged = tomllib.loads(lock.text)
    merged["packages"] += [
        package for package in tomllib.loads(text)["packages"] if package["name"] not in lock.versions
    ]
    merged["packages"].sort(key=lambda package: str(package["name"]))
    text = tomli_w.dumps(merged)
    whole = read_lock(text, target, base=requirements.directory, origin=Origin(path), hashes={})
    return replace(whole, indexes=lock.indexes)


def lock_refused(said: str, lock: Path) -> BuilderError:
    """The error for a uv.lock that uv does not export.

    :param said: uv's stderr.
    """
    words = shorten(said)
    if NETWORK.search(words):
        return unreachable(words, lock.parent)
    if together := re.search(r"(\S.*) are incompatible with the (?:declared )?conflicts", words):
        return ResolutionError(
            f"{together[1]} are not to be installed together, as `conflicts` in pyproject.toml says",
            where=TomlFile.pyproject(lock.parent).origin("tool", "uv", "conflicts"),
            detail=words,
            remedy="Leave out one of them: an --extra, a --group, or one of `default-groups` under `[tool.uv]`",
        )
    outdated = "needs to be updated" in words
    what = "uv.lock does not fit pyproject.toml any more" if outdated else "uv.lock cannot be used"
    return ResolutionError(what, where=Origin(lock), detail=words, remedy="Run `uv lock` and commit uv.lock")
