"""uv's own configuration of indexes, read from the files and environment variables that uv reads.

See uv's documentation, "Configuration files" and "Package indexes".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from builder.errors import ProjectError
from builder.project.sources import workspace_root
from builder.project.toml_file import TomlFile

ENVIRONMENT: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")

# Settings that uv also needs when it builds a wheel outside the project.
_LISTS: Final = ("index", "extra-index-url", "find-links", "allow-insecure-host", "build-constraint-dependencies")
_SCALARS: Final = (
    *("index-url", "no-index", "index-strategy", "keyring-provider", "system-certs", "native-tls"),
    *("exclude-newer", "exclude-newer-package", "config-settings", "config-settings-package"),
    *("extra-build-dependencies", "extra-build-variables"),
)
_INDEXES: Final = ("index", "index-url", "extra-index-url", "find-links", "no-index")


@dataclass(frozen=True, slots=True)
class NamedIndex:
    """An index, and the name that the user gave it, or an empty name.

    :param url: perhaps with credentials; never print it.
    """

    name: str
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UvConfiguration:
    """The settings in uv's files and environment variables.

    :param settings: those of the files, merged into one `uv.toml` for runs of uv outside the project.
    :param indexes: every configured index, including explicit ones.
    :param insecure_hosts: those that the project's own file wants to have reached without checking certificates.
    :param decides: whether uv is configured with indexes, so that pip's indexes are ignored.
    """

    settings: Mapping[str, object] = field(default_factory=dict, repr=False)
    indexes: tuple[NamedIndex, ...] = ()
    insecure_hosts: tuple[str, ...] = ()
    decides: bool = False


def read_uv_configuration(directory: Path) -> UvConfiguration:
    """Read the configuration that uv would use in a project; raises ProjectError for a file that is not TOML."""
    settings = _combined(directory)
    listed = [entry for entry in _list(settings.get("index")) if isinstance(entry, dict)]
    files = [NamedIndex(str(entry.get("name", "")), str(entry.get("url", ""))) for entry in listed]
    files += [
        NamedIndex("", str(url)) for key in ("index-url", "extra-index-url") for url in _list(settings.get(key))
    ]
    # An explicit index serves only the packages that name it, so pip's indexes still apply to all others.
    general = any(key in settings for key in _INDEXES[1:]) or not all(entry.get("explicit") for entry in listed)
    in_environment = any(os.environ.get(name) for name in ENVIRONMENT)
    insecure = () if os.environ.get("UV_CONFIG_FILE") else _insecure_hosts(directory)
    return UvConfiguration(settings, (*_environment(), *files), insecure, general or in_environment)


def _insecure_hosts(directory: Path) -> tuple[str, ...]:
    """What files in or above the project say, which a pull request may have changed."""
    own = (table for base, table in _tables(directory) if directory.absolute().is_relative_to(base))
    return tuple(str(host) for table in own for host in _list(table.get("allow-insecure-host")))


def _environment() -> Iterator[NamedIndex]:
    for variable in ENVIRONMENT:
        values = os.environ.get(variable, "")
        for value in values.split("," if variable == "UV_FIND_LINKS" else None):
            named = re.fullmatch(r"([\w.-]+)=(.+)", value)
            yield NamedIndex(named[1], named[2]) if named else NamedIndex("", value)


def _combined(directory: Path) -> dict[str, object]:
    """Merge the settings of all files: lists are concatenated, for other settings the nearest file wins."""
    combined: dict[str, object] = {}
    for base, table in _tables(directory):
        of_pip = table.get("pip")
        merged = {**(of_pip if isinstance(of_pip, dict) else {}), **table}
        for key in _LISTS:
            if key in merged:
                combined[key] = [
                    *_list(combined.get(key)),
                    *(_placed(key, item, base) for item in _list(merged[key])),
                ]
        for key in _SCALARS:
            if key in merged:
                combined.setdefault(key, _placed(key, merged[key], base))
    return combined


def _tables(directory: Path) -> Iterator[tuple[Path, Mapping[str, object]]]:
    """The configuration files that uv reads, each with its directory, in order of precedence."""
    if chosen := os.environ.get("UV_CONFIG_FILE"):
        yield Path(chosen).absolute().parent, TomlFile.load(Path(chosen)).data
        return
    if os.environ.get("UV_NO_CONFIG", "").lower() in {"1", "true", "yes", "on", "t", "y"}:
        return
    start = workspace_root(directory) or directory
    nearest = next(filter(None, map(_project_table, (start, *start.parents))), None)
    if nearest:
        yield nearest
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    system = [Path(place) for place in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if place]
    for places in ([home / "uv"], [*(place / "uv" for place in system), Path("/etc/uv")]):
        file = next((place / "uv.toml" for place in places if (place / "uv.toml").is_file()), None)
        if file:
            yield file.parent, TomlFile.load(file).data


def _project_table(directory: Path) -> tuple[Path, Mapping[str, object]] | None:
    """The settings in a directory's `uv.toml`, else `[tool.uv]` in its pyproject.toml; None if it has neither."""
    file = directory / "uv.toml"
    if file.is_file():
        return directory, TomlFile.load(file).data
    try:
        table = TomlFile.pyproject(directory).table("tool").get("uv")
    except ProjectError:
        return None  # as uv does: it may lie in any directory above the project
    return (directory, table) if isinstance(table, dict) else None


def _placed(key: str, value: object, base: Path) -> object:
    """Make the paths in a value absolute; they are relative to the directory of their file."""
    if isinstance(value, dict) and key == "index":
        return {**value, "url": _placed("find-links", value.get("url", ""), base)}
    if isinstance(value, str) and key in _INDEXES and value and "://" not in value:
        return os.path.normpath(base / value)
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]
