"""Reading the build.json of another run of `builder.deploy`, whose output is to be delivered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builder.errors import Origin, ProjectError, UsageError
from builder.project.limited_text import read_limited
from builder.project.location import CODE_SOURCES, Location, SourceTree, Workspace, distinct

_MOST_BYTES: Final = 20_000_000
"""Of build.json; a location has two thousand."""


@dataclass(frozen=True, slots=True)
class BuiltReport:
    """What a build.json says.

    :param entries: of the locations, by name; any of them may be anything.
    """

    path: Path
    python_version: str
    entries: Mapping[str, Any]

    def workspace(self) -> Workspace:
        """The locations as they were declared to the run that built them; raises UsageError if it does not say."""
        try:
            locations = [_location(entry, self.path) for entry in self.entries.values()]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _no_report(self.path, error) from error
        return Workspace(self.path, distinct(locations))


def read_built(path: Path) -> BuiltReport:
    """Read a build.json; raises UsageError if there is none."""
    try:
        report = json.loads(read_limited(path, _MOST_BYTES))
        entries = {str(entry["name"]): entry for entry in report["locations"]}
        return BuiltReport(path, str(report["python_version"]), entries)
    except (ProjectError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_report(path, error) from error


def _no_report(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"`{path}` is not there, or not what builder.deploy writes",
        detail=str(error),
        remedy="Build first, with `builder.deploy WORKSPACE OUT_DIR`, or leave out --built",
    )


def _location(entry: Mapping[str, Any], path: Path) -> Location:
    settings, registry = entry["settings"], entry.get("registry")
    ((kind, value),) = entry["code_source"].items()
    if kind not in CODE_SOURCES or not isinstance(settings, dict) or not isinstance(registry, str | None):
        raise ValueError(f"the entry of `{entry['name']}` is not valid")
    return Location(
        name=str(entry["name"]),
        # Of another machine, where it was built: nothing is read there.
        tree=SourceTree(Path(entry["directory"]), Path(entry["project"])),
        code_source=(kind, str(value)),
        settings=settings,
        origin=Origin(path),
        registry=registry,
    )
