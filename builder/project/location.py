"""A workspace and its code locations, with the source tree of each."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from builder.errors import Notice, Origin, ProjectError, UnknownLocationError

CODE_SOURCES: Final = ("module_name", "package_name", "python_file", "autoload_defs_module_name")

_MOST_LOCATIONS: Final = 1000

_NOT_IN_NAMES: Final = frozenset({"Cc", "Zl", "Zp"})
"""The categories of Unicode of control characters and of line and paragraph separators."""

_TURNING: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""The bidirectional classes of characters that change the order in which others are displayed."""


class SourceTree(NamedTuple):
    """The source of one source PEX; locations with equal trees are built once.

    :param directory: the build directory, absolute: its files are the working directory of the code on the server.
    :param project: the directory of the manifest, absolute: its requirements become the deps PEX, its package is
        installed. It is the build directory, unless that has no manifest.
    """

    directory: Path
    project: Path


@dataclass(frozen=True, slots=True)
class CodeSource:
    """The code source of a location: the module, package or file that is loaded.

    :param kind: one of CODE_SOURCES.
    :param attribute: the name in the module, if one is configured.
    :param working_directory: relative to the build directory.
    """

    kind: str
    value: str
    attribute: str | None = None
    working_directory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One code location.

    :param name: as Dagster Cloud shows it; any text.
    :param tree: its source.
    :param code_source: one of CODE_SOURCES and its value.
    :param settings: the entry with `defaults` merged in, without `build`; keys are passed through untouched.
    :param origin: where it is declared.
    :param lines: the lines of its `code_source`, `attribute` and `working_directory`, if they are declared.
    :param registry: of the Docker image that it runs from; None for a location that runs from PEX files.
    :param notices: warnings to show if it is built.
    :param problem: why it cannot be built; then only its name and origin are known.
    """

    name: str
    tree: SourceTree
    code_source: tuple[str, str]
    settings: Mapping[str, object]
    origin: Origin
    lines: Mapping[str, Origin] = field(default_factory=dict)
    registry: str | None = None
    notices: tuple[Notice, ...] = ()
    problem: ProjectError | None = None

    @classmethod
    def unusable(cls, name: str, directory: Path, origin: Origin, problem: ProjectError) -> Location:
        """A location with an invalid declaration; the others are not affected.

        :param directory: of the file that declares it.
        """
        return cls(
            name=name,
            tree=SourceTree(directory, directory),
            code_source=("module_name", ""),
            settings={},
            origin=origin,
            problem=problem,
        )


@dataclass(frozen=True, slots=True)
class Workspace:
    """Code locations in the order in which they are declared.

    :param path: the file that declares them.
    :param notices: warnings to show whichever location is built.
    """

    path: Path
    locations: tuple[Location, ...]
    notices: tuple[Notice, ...] = ()

    def select(self, names: Sequence[str], *, images: bool = False) -> Workspace:
        """Only the locations of these names; without names, all that run from PEX files.

        :param images: whether to include locations that run from images of their own registry.

        Raises UsageError for an unknown name, ProjectError if no location can be built.
        """
        known = {location.name for location in self.locations}
        for name in names:
            if name not in known:
                hint = "; give each with its own --location"
                raise UnknownLocationError(name, self.path, sorted(known), hint=hint)
        chosen = tuple(
            location
            for location in self.locations
            if (location.name in names if names else images or location.registry is None)
        )
        if not chosen:
            raise ProjectError(
                f"nothing is left to build: every location in `{self.path}` runs from an image, since it has a"
                " `registry`",
                where=self.locations[0].origin,
                remedy="Build their images, with --format auto, or name those to build as PEX files, such as"
                f" --location '{self.locations[0].name}'",
            )
        problems = [location.problem for location in chosen if location.problem]
        if len(problems) == len(chosen):
            raise problems[0]
        return Workspace(self.path, chosen, self.notices)


def distinct(locations: Iterable[Location]) -> tuple[Location, ...]:
    """Check names: raises ProjectError if two locations have the same name, or a name is not one line of text."""
    seen: dict[str, Location] = {}
    for location in locations:
        if len(seen) == _MOST_LOCATIONS:
            raise ProjectError(
                f"there are more than {_MOST_LOCATIONS} locations",
                where=location.origin,
                remedy="Write several workspace files, and deploy one after the other",
            )
        if any(map(_is_control, location.name)):
            raise ProjectError(
                "the name of a location has a control character or a line break in it",
                where=location.origin,
                remedy="Write a name on one line",
            )
        first = seen.setdefault(location.name, location)
        if first is not location:
            same = first.origin.path == location.origin.path
            where = f"at line {first.origin.line}" if same else f"in `{first.origin}`"
            raise ProjectError(
                f"two locations are called `{location.name}`; the other one is {where}",
                where=location.origin,
                remedy="Give each location a name of its own",
            )
    return tuple(seen.values())


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _NOT_IN_NAMES or unicodedata.bidirectional(character) in _TURNING
