"""The workspace: one `dagster_cloud.yaml` with its code locations, `defaults` merged in."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.errors import Origin, ProjectError, UsageError

if TYPE_CHECKING:
    import yaml

CODE_SOURCES: Final = ("module_name", "package_name", "python_file", "autoload_defs_module_name")

_MOST_VALUES: Final = 100_000
"""With all aliases followed; a workspace of a thousand locations has fewer."""

_EXAMPLE: Final = """Write at least:
locations:
  - location_name: my-location
    code_source:
      package_name: my_package"""


@dataclass(frozen=True, slots=True)
class Location:
    """One code location.

    :param name: as Dagster Cloud shows it; any text.
    :param directory: the build directory, absolute.
    :param code_source: one of CODE_SOURCES and its value.
    :param settings: the entry with `defaults` merged in, without `build`; keys are passed through untouched.
    :param origin: where the entry stands in the file.
    """

    name: str
    directory: Path
    code_source: tuple[str, str]
    settings: Mapping[str, object]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Workspace:
    """A `dagster_cloud.yaml`: where it is, and its locations in the order of the file."""

    path: Path
    locations: tuple[Location, ...]

    def select(self, names: Sequence[str]) -> Workspace:
        """Only the locations of these names, or all if there are none; raises UsageError for an unknown name."""
        known = {location.name for location in self.locations}
        for name in names:
            if name not in known:
                raise UsageError(
                    f"there is no location `{name}` in `{self.path}`",
                    remedy=f"Choose from: {', '.join(sorted(known))}",
                )
        wanted = set(names) or known
        return Workspace(self.path, tuple(location for location in self.locations if location.name in wanted))


def read_workspace(path: Path) -> Workspace:
    """Read a `dagster_cloud.yaml`; raises ProjectError, with the line, for anything in it that cannot be right."""
    path = path.absolute()
    document = _Document.load(path)
    root = document.mapping((), "the workspace file")
    defaults = document.mapping(("defaults",), "`defaults`") if root.get("defaults") is not None else {}
    entries = root.get("locations")
    if not isinstance(entries, list) or not entries:
        where = document.origin("locations")
        raise ProjectError("`locations` is not a list of code locations", where=where, remedy=_EXAMPLE)
    locations = tuple(_location(document, index, defaults) for index in range(len(entries)))
    seen: dict[str, Location] = {}
    for location in locations:
        first = seen.setdefault(location.name, location)
        if first is not location:
            raise ProjectError(
                f"two locations are called `{location.name}`; the other one is at line {first.origin.line}",
                where=location.origin,
                remedy="Give each location a name of its own",
            )
    return Workspace(path, locations)


def _location(document: _Document, index: int, defaults: Mapping[str, object]) -> Location:
    key = ("locations", index)
    entry = document.mapping(key, f"location {index + 1}")
    where = document.origin(*key)
    name = entry.get("location_name")
    if not isinstance(name, str) or not name.strip():
        raise ProjectError(f"location {index + 1} has no `location_name`", where=where, remedy=_EXAMPLE)
    merged = _merge(defaults, entry)
    build = merged.pop("build", None)
    if build is not None and not isinstance(build, dict):
        here = document.origin(*key, "build")
        raise ProjectError(
            f"`build` of location `{name}` is not a mapping", where=here, remedy="Write `directory: .` under it"
        )
    return Location(
        name=name,
        directory=_directory(document, key, name, (build or {}).get("directory", ".")),
        code_source=_code_source(document, key, name, merged.get("code_source")),
        settings=merged,
        origin=where,
    )


def _directory(document: _Document, key: tuple[str | int, ...], name: str, value: object) -> Path:
    where = document.origin(*key, "build", "directory")
    if value is None:
        value = "."
    if not isinstance(value, str):
        raise ProjectError(
            f"`build.directory` of location `{name}` is not a text", where=where, remedy="Write a path"
        )
    base = document.path.parent
    directory = Path(_normalised(base / value))
    if not directory.is_dir():
        kind = "is not a directory" if directory.exists() else "does not exist"
        raise ProjectError(
            f"the build directory of location `{name}`, `{directory}`, {kind}",
            where=where,
            remedy=f"Correct `build.directory: {value}`; it is relative to `{base}`",
        )
    return directory


def _code_source(document: _Document, key: tuple[str | int, ...], name: str, value: object) -> tuple[str, str]:
    where = document.origin(*key, "code_source")
    remedy = f"Write one of {', '.join(CODE_SOURCES)} under `code_source`"
    if not isinstance(value, dict):
        raise ProjectError(f"location `{name}` has no `code_source`", where=where, remedy=remedy)
    found = [(source, value[source]) for source in CODE_SOURCES if value.get(source)]
    if len(found) != 1 or not isinstance(found[0][1], str):
        what = " and ".join(f"`{source}`" for source, _ in found) if len(found) > 1 else "none that can be used"
        raise ProjectError(
            f"location `{name}` must have exactly one code source, but has {what}", where=where, remedy=remedy
        )
    return found[0]


def _merge(defaults: Mapping[str, object], entry: Mapping[str, object]) -> dict[str, object]:
    """`entry` over `defaults`, mapping by mapping; a null in the entry does not hide a default."""
    merged = dict(defaults)
    for key, value in entry.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged


def _check_aliases(root: yaml.Node, path: Path) -> None:
    """Refuse aliases that lead round in a circle, or multiply a short file to more than a machine can hold."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                where = Origin(path, node.start_mark.line + 1)
                raise ProjectError("a value in the file contains itself", where=where, remedy="Remove its alias")
            return known
        sizes[id(node)] = None
        children = node.value if isinstance(node.value, list) else ()
        pairs = (child if isinstance(child, tuple) else (child,) for child in children)
        total = 1 + sum(size(child) for pair in pairs for child in pair)
        sizes[id(node)] = total
        return total

    if size(root) > _MOST_VALUES:
        raise ProjectError(
            f"the aliases in the file multiply it to more than {_MOST_VALUES} values",
            where=Origin(path),
            remedy="Write the values where they are needed, or use fewer aliases",
        )


def _normalised(path: Path) -> str:
    """Without `.` and `..`, as the user would write it; symbolic links stay."""
    return os.path.normpath(path)


@dataclass(frozen=True, slots=True)
class _Document:
    """A YAML file together with the line of each of its nodes."""

    path: Path
    node: yaml.Node
    data: object

    @classmethod
    def load(cls, path: Path) -> _Document:
        import yaml  # noqa: PLC0415  (start-up time)

        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise ProjectError(
                f"`{path}` does not exist", remedy="Give the path of your dagster_cloud.yaml"
            ) from None
        except IsADirectoryError:
            remedy = f"Give the path of the file, such as `{path / 'dagster_cloud.yaml'}`"
            raise ProjectError(f"`{path}` is a directory, not a dagster_cloud.yaml", remedy=remedy) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ProjectError(
                f"`{path}` cannot be read: {error}", remedy="Make it a readable UTF-8 text file"
            ) from error
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            if node is not None:
                _check_aliases(node, path)
            data = loader.construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = Origin(path, mark.line + 1 if mark else None)
            problem = re.sub(r"\s+", " ", error.problem or "it cannot be parsed")
            raise ProjectError(
                f"the file is not valid YAML: {problem}", where=where, remedy="Correct that line"
            ) from error
        except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as error:
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, RecursionError):
                problem = "it is nested too deeply"
            elif isinstance(error, LookupError | AttributeError):
                # How PyYAML fails at values such as `!!bool x`.
                problem = "a value does not fit the tag that is written before it"
            raise ProjectError(
                f"the file is not valid YAML: {problem}", where=Origin(path), remedy="Correct it"
            ) from error
        if node is None:
            raise ProjectError("the workspace file is empty", where=Origin(path), remedy=_EXAMPLE)
        return cls(path, node, data)

    def mapping(self, key: tuple[str | int, ...], what: str) -> Mapping[str, object]:
        """The mapping at `key`; raises ProjectError if there is something else."""
        found = self.data
        for part in key:
            found = found[part]  # type: ignore[index]  # callers have checked the levels above
        if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
            where = self.origin(*key)
            raise ProjectError(f"{what} is not a mapping of names to values", where=where, remedy=_EXAMPLE)
        return found

    def origin(self, *key: str | int) -> Origin:
        """The line of the node at `key`, or of the deepest one on the way to it that exists."""
        import yaml  # noqa: PLC0415  (start-up time)

        node = self.node
        line = node.start_mark.line + 1
        for part in key:
            if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
                continue
            pairs = node.value if isinstance(node, yaml.MappingNode) else ()
            match = next(((name, value) for name, value in pairs if name.value == part), None)
            if match is None:
                break
            line, node = match[0].start_mark.line + 1, match[1]
        return Origin(self.path, line)
