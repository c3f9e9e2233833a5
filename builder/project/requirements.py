"""What a project asks for, from all that it declares, each requirement with the file and line it came from.

The order: a lock of the project's own (`uv.lock`, `pylock.toml`) is obeyed and nothing else is read; without one,
requirements.txt and the package's metadata (pyproject.toml, setup.py) are taken together, as
`pip install -r requirements.txt .` would. Local packages that these name are followed, and so is what those name.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.errors import Notice, Origin, ProjectError
from builder.project.metadata import Metadata, MetadataBuilder, applicable, is_package, locate, read_metadata
from builder.project.requirements_txt import RequirementLine, read_requirements_txt
from builder.project.sources import LocalSource, source_of, workspace_root

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# A path as pip takes it: `./x[extra] ; marker`. Brackets in a path would be ambiguous to pip too.
_LOCAL: Final = re.compile(r"(?P<path>[^;\[]+?)\s*(\[(?P<extras>[^\]]*)\])?\s*(;\s*(?P<marker>.+))?")
_URL: Final = re.compile(r"[a-z+]+://|[a-z]+\+\S+:|git@")
_ARCHIVES: Final = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


@dataclass(frozen=True, slots=True)
class Requirements:
    """Everything that a project asks for.

    :param directory: the project.
    :param lines: requirements that an index, a URL or a repository serves; local files are `file:` URLs.
    :param constraints: limits that ask for nothing.
    :param options: index and binary options in pip's syntax.
    :param local_packages: directories of the user's own packages, the project first; absolute.
    :param local_names: the normalised names of these packages, which no index is ever asked for.
    :param lock: the project's own lock, in which case all of the above is empty.
    """

    directory: Path
    lines: tuple[RequirementLine, ...] = ()
    constraints: tuple[RequirementLine, ...] = ()
    options: tuple[str, ...] = ()
    local_packages: tuple[Path, ...] = ()
    local_names: frozenset[str] = frozenset()
    lock: Path | None = None
    notices: tuple[Notice, ...] = ()


def read_requirements(directory: Path, markers: Mapping[str, str], build: MetadataBuilder) -> Requirements:
    """Read what the project in `directory` asks for on a target with these markers.

    Raises ProjectError, with file and line, for what its own tools would refuse.
    """
    directory = directory.absolute()
    lock = find_lock(directory)
    if lock is not None:
        ignored = directory / "requirements.txt"
        text = f"`{lock.name}` is obeyed; `requirements.txt` beside it is not read"
        notices = (Notice(text, Origin(ignored)),) if ignored.is_file() else ()
        return Requirements(directory, lock=lock, notices=notices)
    collector = _Collector(directory, markers, build)
    collector.add_package(directory, frozenset(), Origin(directory))
    if (directory / "requirements.txt").is_file():
        collector.add_requirements_txt(directory / "requirements.txt")
    collector.follow()
    return collector.result()


def find_lock(directory: Path) -> Path | None:
    """The lock that a project brings: its own, or that of the uv workspace that it is a member of."""
    if (directory / "pyproject.toml").is_file():
        root = workspace_root(directory) or directory
        if (root / "uv.lock").is_file():
            return root / "uv.lock"
    lock = directory / "pylock.toml"
    return lock if lock.is_file() else None


@dataclass(slots=True)
class _Collector:
    project: Path
    markers: Mapping[str, str]
    build: MetadataBuilder
    pending: list[tuple[Path, frozenset[str], Origin]] = field(default_factory=list)
    seen: dict[Path, set[str]] = field(default_factory=dict)
    metadata: dict[Path, Metadata | None] = field(default_factory=dict)
    lines: list[RequirementLine] = field(default_factory=list)
    constraints: list[RequirementLine] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def follow(self) -> None:
        """Read local packages until none is left that was not read with all extras asked of it."""
        while self.pending:
            directory, extras, origin = self.pending.pop(0)
            self.add_package(directory, extras, origin)

    def add_package(self, directory: Path, extras: frozenset[str], origin: Origin) -> None:
        known = self.seen.get(directory)
        if known is not None and extras <= known:
            return
        asked = (known or set()) | extras
        self.seen[directory] = asked
        if directory not in self.metadata:
            self.metadata[directory] = read_metadata(directory, self.build)
        metadata = self.metadata[directory]
        if metadata is None:
            if directory != self.project:
                raise ProjectError(
                    f"`{directory}` is required as a local package, but holds none",
                    where=origin,
                    remedy="Give it a pyproject.toml with a `[build-system]`, or a setup.py",
                )
            return
        self._check_python(metadata)
        for requirement in applicable(metadata.requires, self.markers, asked):
            self._add(requirement, directory, locate(requirement.name, metadata.manifest))

    def add_requirements_txt(self, path: Path) -> None:
        found = read_requirements_txt(path)
        self.options.extend(found.options)
        for line in found.lines:
            if line.constraint:
                self.constraints.append(line)
            else:
                self._add_line(line)

    def result(self) -> Requirements:
        from packaging.utils import canonicalize_name  # noqa: PLC0415  (start-up time)

        names = frozenset(canonicalize_name(metadata.name) for metadata in self.metadata.values() if metadata)
        # The same requirement is often declared twice; which of the two comes first does not matter to a resolver.
        lines = {(line.text, line.hashes): line for line in reversed(self.lines) if _name(line.text) not in names}
        return Requirements(
            self.project,
            lines=tuple(lines[key] for key in sorted(lines)),
            constraints=tuple(line for line in self.constraints if _name(line.text) not in names),
            options=tuple(dict.fromkeys(self.options)),
            local_packages=tuple(directory for directory in self.seen if is_package(directory)),
            local_names=names,
        )

    def _add(self, requirement: Requirement, directory: Path, origin: Origin) -> None:
        """A requirement of a package's metadata, whose marker is known to hold."""
        source = source_of(requirement, directory, self.markers) if requirement.url is None else requirement.url
        match source:
            case LocalSource(path):
                self._add_path(path, frozenset(requirement.extras), origin)
            case str(url) if url.startswith("file:"):
                self._add_path(_path_of_url(url, directory), frozenset(requirement.extras), origin)
            case str(text) if requirement.url is None:
                self.lines.append(RequirementLine(text, origin))
            case _:
                self.lines.append(RequirementLine(str(requirement), origin))

    def _add_line(self, line: RequirementLine) -> None:
        """A line of a requirements file: a path is followed, all else is for the resolver."""
        local = _local_part(line)
        if local is None:
            _check_syntax(line)
            self.lines.append(line)
            return
        match = _LOCAL.fullmatch(local)
        if match is None:
            raise ProjectError(
                f"`{line.text}` cannot be read as a path", where=line.origin, remedy="Correct the path"
            )
        if match["marker"] and not self._holds(match["marker"], line.origin):
            return
        extras = frozenset(extra.strip() for extra in (match["extras"] or "").split(",") if extra.strip())
        text = match["path"]
        path = _path_of_url(text, self.project) if text.startswith("file:") else self._existing(text, line)
        self._add_path(path, extras, line.origin, line.hashes)

    def _holds(self, text: str, origin: Origin) -> bool:
        from packaging.markers import InvalidMarker, Marker  # noqa: PLC0415  (start-up time)

        try:
            return Marker(text).evaluate(dict(self.markers))
        except InvalidMarker as error:
            what = f"`{text}` is not a valid environment marker"
            raise ProjectError(what, where=origin, remedy='Write it as in `; python_version < "3.12"`') from error

    def _existing(self, text: str, line: RequirementLine) -> Path:
        """A relative path is relative to the project, as for `pip install` run there, or else to the file."""
        candidates = [Path(os.path.normpath(base / text)) for base in (self.project, line.origin.path.parent)]
        return next((candidate for candidate in candidates if candidate.exists()), candidates[0])

    def _add_path(self, path: Path, extras: frozenset[str], origin: Origin, hashes: tuple[str, ...] = ()) -> None:
        if path.is_dir():
            self.pending.append((path, extras, origin))
        elif path.is_file() and path.name.endswith(_ARCHIVES):
            name = f"[{','.join(sorted(extras))}]" if extras else ""
            self.lines.append(RequirementLine(f"{_archive_name(path)}{name} @ {path.as_uri()}", origin, hashes))
        else:
            what = "is neither a directory nor a wheel or sdist" if path.exists() else "does not exist"
            raise ProjectError(
                f"the local package `{path}` {what}",
                where=origin,
                remedy=f"Correct the path; relative ones are relative to `{self.project}`",
            )

    def _check_python(self, metadata: Metadata) -> None:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415  (start-up time)

        try:
            allowed = SpecifierSet(metadata.requires_python)
        except InvalidSpecifier as error:
            what = f"`{metadata.requires_python}` is not a valid version specifier"
            where = locate("requires-python", metadata.manifest)
            raise ProjectError(what, where=where, remedy="Write it as in `>=3.10`") from error
        version = self.markers.get("python_full_version", self.markers["python_version"])
        if not allowed.contains(version, prereleases=True):
            raise ProjectError(
                f"`{metadata.name}` does not allow Python {self.markers['python_version']}: it requires"
                f" `{metadata.requires_python}`",
                where=locate("requires-python", metadata.manifest),
                remedy="Choose another Python with --python-version, or widen what the package allows",
            )


def _local_part(line: RequirementLine) -> str | None:
    """The part of a line that is a local path, with extras and marker; None if the line names no path."""
    text = line.text
    named = re.fullmatch(r"[\w.-]+\s*(\[[^\]]*\])?\s*@\s*(?P<url>.+)", text)
    if named:
        url = named["url"]
        extras = named[1] or ""
        return f"{url}{extras}" if url.startswith(("file:", "./", "../", "/")) else None
    if text.startswith("file:"):
        return text.partition("#")[0]
    if _URL.match(text):
        return None
    path = text.partition("#")[0]
    if (
        line.editable
        or path.startswith((".", "/", "~"))
        or path.partition("[")[0].partition(";")[0].strip().endswith(_ARCHIVES)
    ):
        return path
    # `libs/x` has a separator where a name can have none; so has a URL, which is dealt with above.
    return path if "/" in path.partition(";")[0].partition("[")[0].partition("@")[0] else None


def _check_syntax(line: RequirementLine) -> None:
    """Refuse what is neither a bare URL nor a requirement (PEP 508), in words that name the line."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415  (start-up time)

    if _URL.match(line.text):
        return
    try:
        Requirement(line.text)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        raise ProjectError(
            f"`{line.text}` is not a valid requirement: {problem}",
            where=line.origin,
            remedy="Write it as PEP 508 says, such as `pandas>=2`",
        ) from error


def _archive_name(path: Path) -> str:
    """The distribution's name, from a wheel's or sdist's file name."""
    if path.suffix == ".whl":
        return path.name.split("-", 1)[0]
    return re.sub(r"-[^-]+$", "", path.name)


def _path_of_url(url: str, base: Path) -> Path:
    """The path of a `file:` URL, which may be relative to `base`; a fragment such as `#egg=x` is dropped."""
    parsed = urllib.parse.urlsplit(url)
    return Path(os.path.normpath(base / urllib.parse.unquote(parsed.path)))


def _name(text: str) -> str | None:
    """The normalised name that a requirement begins with; None for a bare URL."""
    from packaging.utils import canonicalize_name  # noqa: PLC0415  (start-up time)

    match = re.match(r"[A-Za-z0-9][\w.-]*", text)
    rest = text[match.end() :] if match else ""
    return canonicalize_name(match[0]) if match and not rest.startswith(("+", ":")) else None
