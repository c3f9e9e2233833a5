"""A workspace file: `dagster_cloud.yaml`, or a `build.yaml` that has `locations`."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ProjectError
from builder.project.bounds import check_build_directory, check_working_directory
from builder.project.defaults import merge
from builder.project.known_keys import CODE_SOURCE, DEFAULTS, LOCATION, WORKSPACE, check_keys
from builder.project.location import CODE_SOURCES, Location, Workspace, distinct
from builder.project.manifest import source_tree
from builder.project.templates import load_rendered
from builder.project.yaml_file import YamlFile
from builder.terminal.formatting import quoted

EXAMPLE: Final = """Write at least:
locations:
  - location_name: my-location
    code_source:
      package_name: my_package"""

_Key = tuple[str | int, ...]


def read_workspace_file(path: Path) -> Workspace:
    """Read a `dagster_cloud.yaml`; raises ProjectError, with the line, for invalid content.

    An error in one location only becomes that location's `problem`.
    """
    document = load_rendered(path)
    if document.node is None:
        raise ProjectError("the workspace file is empty", where=Origin(path), remedy=EXAMPLE)
    root = document.mapping((), "the workspace file", EXAMPLE)
    notices = list(check_keys(document, (), root, WORKSPACE))
    has_defaults = root.get("defaults") is not None
    defaults = document.mapping(("defaults",), "`defaults`", EXAMPLE) if has_defaults else {}
    notices += check_keys(document, ("defaults",), defaults, DEFAULTS)
    entries = root.get("locations")
    if not isinstance(entries, list) or not entries:
        where = document.origin("locations")
        remedy = EXAMPLE
        if path.name == "build.yaml" and "locations" not in root:
            remedy = f"Give the directory of your project, `{path.parent}`, whose `[tool.dg]` says what to build"
        raise ProjectError("`locations` is not a list of code locations", where=where, remedy=remedy)
    locations = distinct(_location(document, index, defaults) for index in range(len(entries)))
    return Workspace(path, locations, tuple(notices))


def _location(document: YamlFile, index: int, defaults: Mapping[str, object]) -> Location:
    key = ("locations", index)
    entry = document.mapping(key, f"location {index + 1}", EXAMPLE)
    name = _name(entry.get("location_name"), index, document.origin(*key, "location_name"))
    try:
        return _usable_location(document, key, name, entry, defaults)
    except ProjectError as error:
        return Location.unusable(name, document.path.parent, document.origin(*key), error)


def _usable_location(
    document: YamlFile, key: _Key, name: str, entry: Mapping[str, object], defaults: Mapping[str, object]
) -> Location:
    where = document.origin(*key)
    unknown = list(check_keys(document, key, entry, LOCATION))
    own_source = entry.get("code_source")
    if isinstance(own_source, dict):
        unknown += check_keys(document, (*key, "code_source"), own_source, CODE_SOURCE)
    merged = merge(defaults, entry)
    build = merged.pop("build", None)
    if build is None:
        build = {}
    if not isinstance(build, dict):
        here = document.origin(*key, "build")
        raise ProjectError(
            f"`build` of location `{name}` is not a mapping", where=here, remedy="Write `directory: .` under it"
        )
    directory = build_directory(
        build.get("directory"), document.path.parent, name, document.origin(*key, "build", "directory")
    )
    tree, notices = source_tree(name, directory, document.path.parent)
    source = _code_source(document, key, name, merged.get("code_source"))
    lines = _lines(document, key, source[0])
    _check_loading(merged, source, directory, name, lines)
    registry = registry_of(build, name, document.origin(*key, "build", "registry"))
    if registry is None:
        if source[0] == "python_file":
            _check_python_file(source[1], directory, name, document.origin(*key, "code_source", "python_file"))
        working = merged.get("working_directory")
        if isinstance(working, str) and not (working.startswith("/") or (directory / working).is_dir()):
            text = (
                f"the `working_directory` of location `{name}`, `{working}`, does not exist; correct or remove it"
            )
            notices += (Notice(text, lines["working_directory"]),)
        if merged.get("image") is not None:
            notices += (image_notice(name, document.origin(*key, "image")),)
    notices += tuple(unknown_key(part, name, document.origin(*key, "build", part)) for part in unknown_keys(build))
    notices += tuple(unknown)
    return Location(
        name=name,
        tree=tree,
        code_source=source,
        settings=merged,
        origin=where,
        lines=lines,
        registry=registry,
        notices=notices,
    )


def _lines(document: YamlFile, key: _Key, source: str) -> dict[str, Origin]:
    """The lines of the settings that say what is loaded; in `defaults` if the location's entry lacks them."""
    paths = {"code_source": ("code_source", source), "attribute": ("attribute",)}
    paths["working_directory"] = ("working_directory",)
    keys = {
        name: next((place for place in ((*key, *path), ("defaults", *path)) if document.has(*place)), None)
        for name, path in paths.items()
    }
    return {name: document.origin(*place) for name, place in keys.items() if place}


def build_directory(value: object, base: Path, name: str, where: Origin) -> Path:
    """The build directory that `directory` of a `build` names; raises ProjectError if it does not exist.

    :param value: as declared; None means `base`, the directory of the file.
    :param name: of the location.
    """
    if value is None:
        value = "."
    if not isinstance(value, str):
        raise ProjectError(
            f"`build.directory` of location `{name}` is not a text", where=where, remedy="Write a path"
        )
    directory = Path(os.path.normpath(base / value))
    if not os.path.isdir(directory):  # noqa: PTH112  (a path too long to exist is no exception to it)
        kind = "is not a directory" if os.path.exists(directory) else "does not exist"  # noqa: PTH110  (the same)
        raise ProjectError(
            f"the build directory of location `{name}`, `{directory}`, {kind}",
            where=where,
            remedy=f"Correct `build.directory: {value}`; it is relative to `{base}`",
        )
    check_build_directory(directory, base, name, where)
    return directory


def registry_of(build: Mapping[str, object], name: str, where: Origin) -> str | None:
    """The `registry` of a `build`; raises ProjectError if it is not a text."""
    registry = build.get("registry")
    if registry is not None and not isinstance(registry, str):
        what = f"`build.registry` of location `{name}` is not a text"
        raise ProjectError(what, where=where, remedy="Write the name of a registry, such as example.org/images")
    return registry or None


def unknown_keys(build: Mapping[str, object]) -> list[str]:
    """The keys of a `build` that have no effect, such as hooks."""
    return [str(key) for key in build if key not in {"directory", "registry"}]


def unknown_key(key: str, name: str, where: Origin) -> Notice:
    """The notice about one of them."""
    text = (
        f"`build.{key}` of location `{name}` has no effect: a PEX build runs no scripts; do that before the build"
    )
    return Notice(text, where)


def image_notice(name: str, where: Origin) -> Notice:
    """The notice about an `image` without a registry."""
    text = (
        f"location `{name}` has an `image` of its own, where its PEX files will run: leave it out, unless it is"
        " made for them"
    )
    return Notice(text, where)


def _name(value: object, index: int, where: Origin) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if value is None or isinstance(value, str):
        raise ProjectError(f"location {index + 1} has no `location_name`", where=where, remedy=EXAMPLE)
    what = f"the `location_name` of location {index + 1}, `{value}`, is not a text"
    raise ProjectError(what, where=where, remedy=f'Put it in quotes: location_name: "{value}"')


def _code_source(document: YamlFile, key: _Key, name: str, value: object) -> tuple[str, str]:
    where = document.origin(*key, "code_source")
    remedy = f"Write one of {', '.join(CODE_SOURCES)} under `code_source`"
    if not isinstance(value, dict):
        raise ProjectError(f"location `{name}` has no `code_source`", where=where, remedy=remedy)
    sources = [(source, value[source]) for source in CODE_SOURCES if value.get(source)]
    if len(sources) > 1:
        remedy = f"Keep one of {quoted(source for source, _ in sources)}, and remove the others"
    if len(sources) != 1 or not isinstance(sources[0][1], str):
        what = (
            " and ".join(f"`{source}`" for source, _ in sources) if len(sources) > 1 else "none that can be used"
        )
        raise ProjectError(
            f"location `{name}` must have exactly one code source, but has {what}", where=where, remedy=remedy
        )
    return sources[0]


_NO_MODULE: Final = re.compile(r"[/\\\s\0]|^\.|\.$|\.\.")
"""Not a module name. Hyphens and similar characters are unusual, but can be imported by name."""


def _check_loading(
    settings: Mapping[str, object],
    source: tuple[str, str],
    directory: Path,
    name: str,
    lines: Mapping[str, Origin],
) -> None:
    """Refuse a code source that the server cannot load, and a working directory outside the repository."""
    for key in ("attribute", "working_directory"):
        value = settings.get(key)
        if value is not None and (not isinstance(value, str) or "\0" in value):
            what = f"the `{key}` of location `{name}` is not a text"
            raise ProjectError(what, where=lines.get(key), remedy=f"Correct it, or remove `{key}`")
    kind, value = source
    if "\0" in value or (kind != "python_file" and _NO_MODULE.search(value)):
        module = re.sub(r"[/\\\s.\0]+", ".", value.removesuffix(".py")).strip(".")
        raise ProjectError(
            f"the `{kind}` of location `{name}`, `{value}`, is not the name of a module",
            where=lines.get("code_source"),
            remedy=f"Write it with dots, as in `import`: `{kind}: {module}`",
        )
    working = settings.get("working_directory")
    if isinstance(working, str) and not working.startswith("/"):
        check_working_directory(directory / working, directory, name, lines["working_directory"])


def _check_python_file(value: str, directory: Path, name: str, where: Origin) -> None:
    """Refuse a `python_file` that the server will not find; absolute paths on the server are not checked.

    The server runs the file from the build directory, whatever the `working_directory`
    (`dagster._core.code_pointer`).
    """
    path = Path(os.path.normpath(directory / value))
    if Path(value).is_absolute() or (path.is_file() and path.is_relative_to(directory)):
        return
    kind = "lies outside the build directory" if path.is_file() else "does not exist"
    remedy = f"Correct `python_file: {value}`"
    if Path(f"{path}.py").is_file():
        remedy = f"Write `python_file: {value}.py`"
    raise ProjectError(
        f"the `python_file` of location `{name}`, `{path}`, {kind}",
        where=where,
        remedy=f"{remedy}; it is relative to the build directory, `{directory}`",
    )
