"""The requirements of a project, from all of its files, each with its file and line.

If the project has a lock (`builder.project.locks`), only the lock is used. Otherwise requirements.txt and the
package's metadata (pyproject.toml, setup.py) are combined, as by `pip install -r requirements.txt .`. Requirements
on local packages are followed recursively.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from builder.errors import Notice, Origin, ProjectError
from builder.project.declared import read_groups, read_metadata
from builder.project.incomplete_checkout import submodule_remedy
from builder.project.lines import NamedLines, line_of_name
from builder.project.locks import KINDS, find_lock, holds_all, locked_versions, pipfile_paths
from builder.project.metadata import Metadata, MetadataBuilder, applicable, is_package
from builder.project.names import archive_name, required_name
from builder.project.not_read import not_read
from builder.project.pdm import pdm_index_options
from builder.project.poetry import poetry_index_options, uses_poetry
from builder.project.requirement_lines import (
    ARCHIVES,
    LOCAL,
    check_syntax,
    extras_of,
    local_part,
    path_of_url,
    pins,
    same_requirement,
)
from builder.project.requirements_txt import RequirementLine, read_requirements_txt
from builder.project.sources import IndexSource, LocalSource, Sources
from builder.project.variables import expand, without_references
from builder.terminal.formatting import quoted


@dataclass(frozen=True, slots=True)
class RequestedExtras:
    """The extras and dependency groups to install; none by default.

    :param extras: names of extras of the project.
    :param groups: names of dependency groups.
    """

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


NO_EXTRAS: Final = RequestedExtras()

SERVERLESS: Final = frozenset({"dagster", "dagster-cloud"})
"""The distributions that the receiving server runs from the deps PEX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """The requirements of a project.

    :param directory: the project.
    :param lines: requirements from an index, a URL or a repository; local files are `file:` URLs.
    :param constraints: version limits that do not require the distribution.
    :param options: index and binary options in pip's syntax.
    :param local_packages: directories of the user's own packages, the project first; absolute.
    :param local_names: the normalised names of these packages, which are never requested from an index.
    :param lock: the project's own lock, which is used instead of the lines.
    :param wanted: the extras and groups that were requested.
    :param overrides: requirements that replace those in the metadata of distributions; `excludes`: normalised
        names that are never installed, even if distributions require them.
    """

    directory: Path
    lines: tuple[RequirementLine, ...] = ()
    constraints: tuple[RequirementLine, ...] = ()
    options: tuple[str, ...] = ()
    local_packages: tuple[Path, ...] = ()
    local_names: frozenset[str] = frozenset()
    lock: Path | None = None
    wanted: RequestedExtras = NO_EXTRAS
    overrides: tuple[str, ...] = ()
    excludes: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()

    def origin_of(self, name: str) -> Origin | None:
        """Where the first requirement on a distribution is, by its normalised name."""
        return next((line.origin for line in self.lines if required_name(line.text) == name), None)


def read_requirements(
    directory: Path, markers: Mapping[str, str], build: MetadataBuilder, wanted: RequestedExtras = NO_EXTRAS
) -> Requirements:
    """Read the requirements of the project in `directory` for a target with these markers.

    Raises ProjectError, with file and line, for anything that the project's own tools would refuse.
    """
    directory = directory.absolute()
    lock = find_lock(directory)
    notices = not_read(directory, lock)
    limiting = _limiting_lock(directory, lock)
    if limiting is not None:
        lock, notices = None, ()
    if lock is not None and not KINDS[lock.name].pins:
        return Requirements(directory=directory, lock=lock, wanted=wanted, notices=notices)
    collector = _Collector(project=directory, markers=markers, build=build, groups=wanted.groups)
    collector.add_package(directory, frozenset(wanted.extras), Origin(directory))
    collector.check_extras(wanted.extras)
    if lock is None or lock.name != "Pipfile.lock":
        collector.add_groups()
    if uses_poetry(directory):
        collector.options.extend(poetry_index_options(directory))
    else:
        collector.options.extend(pdm_index_options(directory))
    if lock is None and (directory / "requirements.txt").is_file():
        collector.add_requirements_txt(directory / "requirements.txt")
    if lock is not None and lock.name == "Pipfile.lock":
        collector.add_paths(pipfile_paths(lock, wanted.groups), Origin(lock))
    if limiting is not None:
        collector.limit(limiting)
    collector.follow()
    requirements = collector.result(wanted)
    if lock is None:
        return requirements
    return replace(requirements, lock=lock, notices=notices)


def _limiting_lock(directory: Path, lock: Path | None) -> Path | None:
    """The lock, if it lacks a distribution that Dagster Cloud needs and requirements.txt has it.

    Such a project is installed from both: `uv sync`, then `uv pip install -r requirements.txt`.
    """
    path = directory / "requirements.txt"
    if lock is None or not path.is_file() or holds_all(lock, SERVERLESS):
        return None
    lacking = SERVERLESS - locked_versions(lock).keys()
    try:
        asked = {required_name(line.text) for line in read_requirements_txt(path).lines}
    except ProjectError:
        # If the file is not used, it need not be valid.
        return None
    return lock if lacking and lacking <= asked else None


def _is_buildable(directory: Path) -> bool:
    """Whether pip and uv would build a directory: a setup.cfg alone is not enough."""
    return any((directory / name).is_file() for name in ("pyproject.toml", "setup.py"))


@dataclass(slots=True, kw_only=True)
class _Collector:
    project: Path
    markers: Mapping[str, str]
    build: MetadataBuilder
    groups: tuple[str, ...]
    required: dict[Path, bool] = field(default_factory=dict)
    pending: list[tuple[Path, frozenset[str], Origin]] = field(default_factory=list)
    seen: dict[Path, set[str]] = field(default_factory=dict)
    metadata: dict[Path, Metadata | None] = field(default_factory=dict)
    named: dict[str, tuple[Path, Origin]] = field(default_factory=dict)
    sources: dict[Path, Sources] = field(default_factory=dict)
    lines: list[RequirementLine] = field(default_factory=list)
    constraints: list[RequirementLine] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def follow(self) -> None:
        """Read local packages until each has been read with all of its requested extras."""
        self.pending += self._extras_asked_by_name()
        while self.pending:
            directory, extras, origin = self.pending.pop(0)
            self.add_package(directory, extras, origin)
            self.pending += self._extras_asked_by_name()

    def _extras_asked_by_name(self) -> list[tuple[Path, frozenset[str], Origin]]:
        """Local packages that are required by name, with extras that have not been read yet."""
        names: dict[str, Path] = {}
        names |= {canonicalize_name(known.name): path for path, known in self.metadata.items() if known}
        asked = []
        for line in self.lines:
            directory = names.get(required_name(line.text))
            extras = frozenset(extras_of(line.text)) if directory else frozenset()
            if directory and not extras <= self.seen[directory]:
                asked.append((directory, extras, line.origin))
        return asked

    def add_package(self, directory: Path, extras: frozenset[str], origin: Origin) -> None:
        directory = self._known(directory)
        known = self.seen.get(directory)
        if known is not None and extras <= known:
            return
        self.seen[directory] = (known or set()) | extras
        if directory not in self.metadata:
            self.metadata[directory] = read_metadata(directory, self.build)
        metadata = self.metadata[directory]
        if directory != self.project and (metadata is None or not _is_buildable(directory)):
            raise ProjectError(
                f"`{directory}` is required as a local package, but is none",
                where=origin,
                remedy=submodule_remedy(directory)
                or "Give it a pyproject.toml with a `[build-system]`, or a setup.py",
            )
        if metadata is None:
            return
        self._check_name(metadata, directory, origin)
        self._check_python(metadata)
        lines = NamedLines(metadata.manifest)
        for requirement in applicable(metadata.requires, self.markers, extras - (known or set())):
            self._add(requirement, directory, lines.of(requirement.name))

    def check_extras(self, extras: Iterable[str]) -> None:
        """Refuse an extra that the project does not have."""
        metadata = self.metadata[self.project]
        known = metadata.extras if metadata else ()
        for extra in extras:
            if canonicalize_name(extra) not in map(canonicalize_name, known):
                raise ProjectError(
                    f"the project has no extra `{extra}`",
                    where=Origin(metadata.manifest if metadata else self.project),
                    remedy=f"Choose from {quoted(known)}" if known else "It declares no extras at all",
                )

    def add_paths(self, paths: Iterable[Path], origin: Origin) -> None:
        """Add the local packages and files of a lock."""
        for path in paths:
            self._add_path(Path(os.path.normpath(path)), frozenset(), origin)

    def limit(self, lock: Path) -> None:
        """Add the versions of a lock as constraints, for names with exactly one version."""
        for name, versions in locked_versions(lock).items():
            if len(versions) == 1:
                text = f"{name}=={next(iter(versions))}"
                self.constraints.append(RequirementLine(text=text, origin=Origin(lock), constraint=True))
        text = (
            f"`{lock.name}` lacks what Dagster Cloud needs, which requirements.txt has: both are used; to have"
            " one, lock that, too"
        )
        self.notices.append(Notice(text, Origin(lock)))

    def add_groups(self) -> None:
        lines = NamedLines(self.project / "pyproject.toml")
        for requirement in applicable(read_groups(self.project, self.groups), self.markers, ()):
            self._add(requirement, self.project, lines.of(requirement.name))

    def add_requirements_txt(self, path: Path) -> None:
        file = read_requirements_txt(path)
        self.options.extend(file.options)
        before = {name: line.text for line in self.lines if (name := required_name(line.text))}
        for line in file.lines:
            if line.constraint:
                self.constraints.append(line)
            else:
                self._add_line(line)
        self.notices.extend(self._disagreement(before, path, file.lines))

    def _disagreement(
        self, there: Mapping[str, str], path: Path, lines: Iterable[RequirementLine]
    ) -> Iterator[Notice]:
        """One notice of differences between requirements.txt and the package's metadata; both are used."""
        metadata = self.metadata[self.project]
        asked = (line for line in lines if not line.constraint and local_part(line) is None)
        here = {name: line.text for line in asked if (name := required_name(line.text))}
        if metadata is None or not here or not there:
            return
        manifest = metadata.manifest.name
        differing = [
            f"`{there[name]}` and `{here[name]}`"
            for name in sorted(here.keys() & there)
            if not same_requirement(here[name], there[name]) and not pins(here[name], there[name])
        ]
        only_there = sorted(there.keys() - here)
        # A file with all versions pinned, such as that of `uv export`, also has the transitive requirements.
        only_here = [] if all(map(pins, here.values())) else sorted(here.keys() - there)
        parts = [
            f"only in {manifest}: {quoted(only_there)}" if only_there else "",
            f"only in {path.name}: {quoted(only_here)}" if only_here else "",
            f"different: {'; '.join(differing)}" if differing else "",
        ]
        if any(parts):
            said = "; ".join(part for part in parts if part)
            text = f"{manifest} and {path.name} differ, and both are used: {said}; say it in one of them"
            yield Notice(text, Origin(path))

    def result(self, wanted: RequestedExtras) -> Requirements:
        names = frozenset(canonicalize_name(metadata.name) for metadata in self.metadata.values() if metadata)
        # The order matters to the resolver: the first mention of each requirement keeps its place.
        lines: dict[tuple[object, ...], RequirementLine] = {}
        for line in self.lines:
            if required_name(line.text) not in names:
                lines.setdefault((line.text, line.hashes, str((line.index or {}).get("url", ""))), line)
        return Requirements(
            directory=self.project,
            lines=tuple(lines.values()),
            constraints=tuple(line for line in self.constraints if required_name(line.text) not in names),
            options=tuple(dict.fromkeys(self.options)),
            local_packages=tuple(directory for directory in self.seen if self._is_package(directory)),
            local_names=names,
            wanted=wanted,
            notices=(*not_read(self.project, None), *self.notices),
        )

    def _add(self, requirement: Requirement, directory: Path, origin: Origin) -> None:
        """Add a requirement of a package's metadata, whose marker holds."""
        if directory not in self.sources:
            self.sources[directory] = Sources(directory)
        asked = self.seen.get(directory, ()), self.groups if directory == self.project else ()
        source = requirement.url or self.sources[directory].of(requirement, self.markers, *asked)
        match source:
            case LocalSource(path, package):
                self._add_path(path, frozenset(requirement.extras), origin, package=package)
            case IndexSource(table):
                self.lines.append(
                    RequirementLine(text=expand(str(requirement), origin), origin=origin, index=table)
                )
            case str(url) if "{" in without_references(url):
                raise ProjectError(
                    f"`{url}` is not a URL: fields in braces need hatchling, which does not build this project",
                    where=origin,
                    remedy="Name hatchling as `build-backend` under `[build-system]`, or write the path as it is",
                )
            case str(url) if url.startswith("file:"):
                self._add_path(path_of_url(url, directory), frozenset(requirement.extras), origin)
            case str(text) if requirement.url is None:
                # uv does not expand variables in its own tables, but would do so in a requirement.
                self.lines.append(RequirementLine(text=text.replace("${", "$%7B"), origin=origin))
            case _:
                self.lines.append(RequirementLine(text=expand(str(requirement), origin), origin=origin))

    def _add_line(self, line: RequirementLine) -> None:
        """Add a line of a requirements file: a path is followed, anything else is for the resolver."""
        local = local_part(line)
        if local is None:
            check_syntax(line)
            self.lines.append(line)
            return
        match = LOCAL.fullmatch(local)
        if match is None:
            raise ProjectError(
                f"`{line.text}` cannot be read as a path", where=line.origin, remedy="Correct the path"
            )
        if match["marker"] and not self._holds(match["marker"], line.origin):
            return
        extras = frozenset(extra.strip() for extra in (match["extras"] or "").split(",") if extra.strip())
        text = match["path"]
        path = path_of_url(text, self.project) if text.startswith("file:") else self._existing(text, line)
        self._add_path(path, extras, line.origin, line.hashes)

    def _holds(self, text: str, origin: Origin) -> bool:
        try:
            return Marker(text).evaluate(dict(self.markers))
        except InvalidMarker as error:
            what = f"`{text}` is not a valid environment marker"
            raise ProjectError(what, where=origin, remedy='Write it as in `; python_version < "3.12"`') from error

    def _existing(self, text: str, line: RequirementLine) -> Path:
        """Resolve a relative path: relative to the project, as for `pip install` there, else to the file."""
        candidates = [Path(os.path.normpath(base / text)) for base in (self.project, line.origin.path.parent)]
        return next((candidate for candidate in candidates if candidate.exists()), candidates[0])

    def _add_path(
        self,
        path: Path,
        extras: frozenset[str],
        origin: Origin,
        hashes: tuple[str, ...] = (),
        *,
        package: bool = True,
    ) -> None:
        if path.is_dir():
            path = self._known(path)
            self.required[path] = self.required.get(path, False) or package
            self.pending.append((path, extras, origin))
        elif path.is_file() and path.name.endswith(ARCHIVES):
            name = archive_name(path.name) + (f"[{','.join(sorted(extras))}]" if extras else "")
            self.lines.append(RequirementLine(text=f"{name} @ {path.as_uri()}", origin=origin, hashes=hashes))
        else:
            what = "is neither a directory nor a wheel or sdist" if path.exists() else "does not exist"
            raise ProjectError(
                f"the local package `{path}` {what}",
                where=origin,
                remedy=f"Correct the path; relative ones are relative to `{self.project}`",
            )

    def _known(self, directory: Path) -> Path:
        """The first path by which a directory was reached: through a symlink it is the same package."""
        return next((path for path in (*self.seen, *self.required) if path.samefile(directory)), directory)

    def _is_package(self, directory: Path) -> bool:
        """Whether a directory itself is installed; a path requirement is, unless its source says otherwise."""
        required = self.required.get(directory)
        return required is not False and is_package(directory, required=required is True)

    def _check_name(self, metadata: Metadata, directory: Path, origin: Origin) -> None:
        """Refuse two local packages with the same name: only one of them could be installed."""
        if not self._is_package(directory):
            return
        other, place = self.named.setdefault(canonicalize_name(metadata.name), (directory, origin))
        if other != directory:
            by = "the project" if other == self.project else f"required in `{place}`"
            raise ProjectError(
                f"two local packages are called `{metadata.name}`: `{other}` ({by}) and `{directory}`",
                where=origin,
                remedy="Require only one of them, or give one another name",
            )

    def _check_python(self, metadata: Metadata) -> None:
        try:
            allowed = SpecifierSet(metadata.requires_python)
        except InvalidSpecifier as error:
            what = f"`{metadata.requires_python}` is not a valid version specifier"
            where = line_of_name("requires-python", metadata.manifest)
            raise ProjectError(what, where=where, remedy="Write it as in `>=3.10`") from error
        version = self.markers.get("python_full_version", self.markers["python_version"])
        if not allowed.contains(version, prereleases=True):
            raise ProjectError(
                f"`{metadata.name}` does not allow Python {self.markers['python_version']}: it requires"
                f" `{metadata.requires_python}`",
                where=line_of_name("requires-python", metadata.manifest),
                remedy=f"Choose another Python with --python-version{_allowed_python(allowed)}, or widen what the"
                " package allows",
            )


def _allowed_python(allowed: SpecifierSet) -> str:
    """The first supported Python version that a package allows; empty if there is none."""
    minor = next((minor for minor in range(9, 15) if allowed.contains(f"3.{minor}.99", prereleases=True)), None)
    return "" if minor is None else f" 3.{minor}"
