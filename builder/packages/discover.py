"""Discovering the packages of a repository from their metadata.

A package is a directory with a pyproject.toml that has `[project]` and a build backend, or with a setup.py that
calls `setup(name=…)`. Skipped, with the reason, are projects

- inside another package's directory: helpers such as `kitchen-sink`, templates, test projects;
- in a directory of examples, documentation, tests or scripts (`NOT_SOURCES`), or in a hidden one;
- whose name is only in a tool's table, such as `[tool.poetry]`, or in code.

A package is not published, hence not part of `all` but selectable by name, if

- it has a classifier `Private :: …`,
- its name ends in `-test` or `-tests`, or
- the repository has version families and its version belongs to neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin, PackagesError
from builder.packages import git
from builder.packages.declarations import Declared, Undeclared, read_declared
from builder.packages.families import Membership, families_of
from builder.packages.versions import Family
from builder.packages.webapp import Webapp, find_webapp
from builder.project.names import required_name

NOT_SOURCES: Final = frozenset({"docs", "examples", "integration_tests", "scripts", "templates", "test", "tests"})

_MANIFESTS: Final = ("pyproject.toml", "setup.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package of the repository.

    :param name: normalised (PEP 503).
    :param directory: absolute.
    :param path: `directory` relative to the repository, with slashes.
    :param version: as declared; None if the backend computes it.
    :param requires: names of the repository's packages among its runtime requirements.
    :param extra_requires: those among the requirements of its extras.
    :param build_requires: those among its build requirements.
    :param family: None for a package with a version of its own.
    :param family_source: what tells the family (`families.Membership`).
    :param unpublished: why it is not part of `all`; None if it is.
    """

    name: str
    directory: Path
    path: str
    declared: Declared
    requires: tuple[str, ...] = ()
    extra_requires: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()
    family: Family | None = None
    family_source: str = ""
    webapp: Webapp | None = None
    unpublished: str | None = None

    @property
    def version(self) -> str | None:
        """The declared version."""
        return self.declared.version

    @property
    def siblings(self) -> tuple[str, ...]:
        """All packages of the repository among its runtime, extra and build requirements."""
        return tuple(sorted({*self.requires, *self.extra_requires, *self.build_requires}))


@dataclass(frozen=True, slots=True)
class SkippedProject:
    """A project that is not a package of the repository: its path, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and its packages.

    :param root: absolute.
    :param packages: by name.
    """

    root: Path
    packages: tuple[Package, ...]
    left_out: tuple[SkippedProject, ...]

    def package(self, name: str) -> Package:
        """The package with a normalised name."""
        return next(package for package in self.packages if package.name == name)

    @property
    def names(self) -> list[str]:
        """The names of all packages, sorted."""
        return [package.name for package in self.packages]


def discover(root: Path) -> Repository:
    """Find the packages of a repository.

    Raises PackagesError if there is none, if two have the same name, or if a manifest cannot be read.
    """
    if not root.is_dir():
        raise PackagesError(f"the repository `{root}` is not a directory", remedy="Correct the path")
    root = root.resolve()
    files = map(PurePosixPath, git.list_files(root))
    places = sorted({file.parent for file in files if file.name in _MANIFESTS})
    projects: dict[PurePosixPath, Declared] = {}
    left_out: list[SkippedProject] = []
    for place in places:
        if reason := _reason(place, projects):
            left_out.append(SkippedProject(str(place), reason))
            continue
        declared = read_declared(root / place)
        if isinstance(declared, Undeclared):
            left_out.append(SkippedProject(str(place), declared.reason))
        elif declared is not None:
            projects[place] = declared
    if not projects:
        raise PackagesError(
            f"there is no package in `{root}`",
            detail="\n".join(f"{project.path}: {project.reason}" for project in left_out) or None,
            remedy="Give the root of a repository that has a pyproject.toml or setup.py for each package",
        )
    return Repository(root, _packages(root, projects), tuple(left_out))


def _reason(place: PurePosixPath, projects: Collection[PurePosixPath]) -> str | None:
    """Why the project at a path is not a package; None if it is. Parent directories must be processed first."""
    for parent in place.parents:
        # The root may be a package and still contain others.
        if parent in projects and parent != PurePosixPath():
            return f"inside the package `{parent}`"
    for part in place.parts:
        if part in NOT_SOURCES or part.startswith("."):
            return f"in a directory `{part}`"
    return None


def _packages(root: Path, projects: Mapping[PurePosixPath, Declared]) -> tuple[Package, ...]:
    by_name: dict[str, Package] = {}
    for place, declared in projects.items():
        name = canonicalize_name(declared.name)
        if name in by_name:
            raise PackagesError(
                f"two packages are called `{name}`: `{by_name[name].path}` and `{place}`",
                where=Origin(declared.manifest),
                remedy="Rename one of them",
            )
        by_name[name] = Package(
            name=name,
            directory=root / place,
            path=str(place),
            declared=declared,
            webapp=find_webapp(name, root / place),
        )
    families = families_of(root, {name: package.declared for name, package in by_name.items()})
    has_families = any(membership.family for membership in families.values())
    return tuple(
        _related(package, by_name, families[name], has_families=has_families)
        for name, package in sorted(by_name.items())
    )


def _related(package: Package, others: Collection[str], membership: Membership, *, has_families: bool) -> Package:
    declared = package.declared
    siblings = frozenset(others) - {package.name}
    requires = _named(declared.requires, siblings)
    return replace(
        package,
        requires=requires,
        extra_requires=tuple(name for name in _named(declared.extras, siblings) if name not in requires),
        build_requires=_named(declared.build_requires, siblings),
        family=membership.family,
        family_source=membership.source,
        unpublished=_unpublished(package, membership.family, has_families=has_families),
    )


def _named(texts: Iterable[str], names: Collection[str]) -> tuple[str, ...]:
    """The `names` that the requirements are for."""
    return tuple(sorted({name for text in texts if (name := required_name(text)) in names}))


def _unpublished(package: Package, family: Family | None, *, has_families: bool) -> str | None:
    if any(classifier.startswith("Private ::") for classifier in package.declared.classifiers):
        return "a classifier says that it is private"
    if package.name.endswith(("-test", "-tests")):
        return "by its name it is for tests"
    if has_families and family is None:
        return f"its version, {package.version or 'unknown'}, is not one of the repository"
    return None
