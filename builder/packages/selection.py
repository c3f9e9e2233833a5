"""Selecting packages of a repository by name, glob or changed files, and ordering them for the build."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import PackagesError, UsageError
from builder.packages import git
from builder.packages.discover import Package, Repository
from builder.packages.webapp import SOURCES
from builder.packages.wheelhouse import unknown_names
from builder.system.graph import reachable

ALL: Final = "all"

_EXCEPT: Final = "!"
"""Begins a selector whose packages are left out."""


def select(repository: Repository, selectors: Iterable[str]) -> tuple[Package, ...]:
    """Select packages as `select_names` does; `all` and globs match published packages only."""
    published = [package.name for package in repository.packages if not package.unpublished]
    names = select_names(selectors, repository.names, published, f"repository `{repository.root}`")
    return _in_order(repository, names)


def select_names(
    selectors: Iterable[str], names: Sequence[str], listed: Sequence[str], where: str, *, partial: bool = False
) -> frozenset[str]:
    """Select names by selectors: names, globs, or `all`; one selector may hold several, separated by commas.

    `!` before a name or a glob leaves out what it matches, wherever it stands.

    :param names: all names, which can be selected by exact name.
    :param listed: the names that `all` and globs match.
    :param where: where the names are from, for error messages.
    :param partial: whether there may be more packages elsewhere, so that what is left out need not be there.

    Raises UsageError for a selector without a match, with the nearest names, and for an empty selection.
    """
    parts = [part.strip() for text in selectors for part in text.split(",") if part.strip()]
    wanted = [part for part in parts if not part.startswith(_EXCEPT)]
    unwanted = [part.removeprefix(_EXCEPT).strip() for part in parts if part.startswith(_EXCEPT)]
    if not wanted:
        remedy = f"Write --select 'all,{','.join(parts)}'" if parts else "Write --select all, or names of packages"
        raise UsageError("no package is selected", remedy=remedy)
    if ALL in wanted and not listed:
        raise UsageError(
            f"there is nothing to choose from in {where}",
            remedy="Name what is not for publishing, one by one" if names else "Build something into it first",
        )
    matching = {selector: _matching(selector, names, listed) for selector in wanted}
    # A glob leaves out what can only be selected by its name, too.
    excluded = {selector: _matching(selector, names, names) for selector in unwanted}
    required = {**matching, **({} if partial else excluded)}
    if unknown := [selector for selector, matches in required.items() if not matches]:
        raise unknown_names(unknown, [ALL, *names], where)
    chosen = {name for matches in matching.values() for name in matches}.difference(*excluded.values())
    if not chosen:
        raise UsageError(f"`{','.join(parts)}` leaves nothing of {where}", remedy="Leave out less")
    return frozenset(chosen)


def with_siblings(repository: Repository, packages: Iterable[Package]) -> tuple[Package, ...]:
    """The packages, and their direct and indirect siblings: those that they or their extras require."""
    needs = {package.name: package.siblings for package in repository.packages}
    return _in_order(repository, reachable((package.name for package in packages), needs))


def changed_since(repository: Repository, reference: str) -> tuple[Package, ...]:
    """The packages with changes since `reference`, and those that directly or indirectly require them.

    Sources of web applications belong to the packages that ship one. Raises UsageError if git does not know
    `reference`.
    """
    places = {PurePosixPath(package.path): package.name for package in repository.packages}
    changed: set[str] = set()
    for file in git.changed_files(repository.root, reference):
        path = PurePosixPath(file)
        if path.parts[0] == SOURCES:
            changed.update(package.name for package in repository.packages if package.webapp)
        owner = next((places[parent] for parent in path.parents if parent in places), None)
        changed.update([owner] if owner else [])
    needed_by: dict[str, set[str]] = {name: set() for name in repository.names}
    for package in repository.packages:
        for sibling in package.siblings:
            needed_by[sibling].add(package.name)
    return _in_order(repository, reachable(changed, needed_by))


def build_order(packages: Collection[Package]) -> tuple[tuple[Package, ...], ...]:
    """Group packages in stages, so that the build requirements of each are in earlier stages.

    Packages of one stage can be built in parallel. Raises PackagesError for circular build requirements.
    """
    names = {package.name for package in packages}
    order = TopologicalSorter({package.name: names.intersection(package.build_requires) for package in packages})
    try:
        order.prepare()
    except CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        raise PackagesError(
            f"these packages need each other in order to be built: {circle}",
            remedy="Remove one of them from `requires` in `[build-system]`",
        ) from error
    stages = []
    while ready := order.get_ready():
        stages.append(tuple(package for package in packages if package.name in ready))
        order.done(*ready)
    return tuple(stages)


def _matching(selector: str, names: Sequence[str], listed: Sequence[str]) -> Sequence[str]:
    if selector == ALL:
        return listed
    if any(character in selector for character in "*?["):
        pattern = selector.lower().replace("_", "-")
        return [name for name in listed if fnmatchcase(name, pattern)]
    return [name for name in names if name == canonicalize_name(selector)]


def _in_order(repository: Repository, names: Collection[str]) -> tuple[Package, ...]:
    return tuple(package for package in repository.packages if package.name in names)
