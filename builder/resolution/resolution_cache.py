"""A cache of resolutions for ten minutes, to speed up rebuilds after a change of code.

The public index allows its pages to be cached for ten minutes, and uv caches them. For a mirror without caching
headers uv requests every page again, which takes seconds. So a resolution of the same requirements is reused for
ten minutes as well, but only if nothing except the public index and local files affects it: packages on a private
index are often published a minute before they are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Final

from builder.project.requirements import Requirements
from builder.project.toml_file import TomlFile
from builder.resolution import uv
from builder.resolution.indexes import Indexes, is_index_option
from builder.resolution.target import Target
from builder.system import storage

_MAX_AGE_SECONDS: Final = 600
"""The `Cache-Control: max-age` of the public index's pages."""

# Environment variables that can configure other indexes, constraints, or an upload date limit for uv.
_SETTINGS: Final = re.compile(r"UV_(?!CACHE_DIR$|NO_PROGRESS$|PYTHON)\w+")
_INCLUDES: Final = re.compile(r"^\s*-|://", re.MULTILINE)
"""Lines of a constraints file that refer to another file or a URL."""
_HARMLESS_TABLES: Final = {"sources", "workspace", "package", "dev-dependencies", "managed", "build-backend"}


def entry_path(requirements: Requirements, target: Target, indexes: Indexes) -> Path | None:
    """The cache entry for the resolution of these requirements; None if it must not be cached."""
    asked = question(requirements, target, indexes)
    return _cache_path(asked, requirements) if asked else None


def _cache_path(asked: str, requirements: Requirements) -> Path:
    names = json.dumps(sorted(requirements.local_names | requirements.excludes))
    digest = hashlib.sha256(f"{asked}\0{names}".encode()).hexdigest()
    return storage.cache_directory() / "resolutions" / f"{digest}.pylock.toml"


def question(requirements: Requirements, target: Target, indexes: Indexes) -> str | None:
    """What is asked of the resolver, but for the names that no index knows; None if it must not be cached."""
    if (
        indexes.remote
        or any(_SETTINGS.fullmatch(name) for name in os.environ)
        or is_configured(requirements.directory)
    ):
        return None
    lines = [line.text for line in requirements.lines]
    if any("://" in line.text or "@" in line.text or line.index for line in requirements.lines):
        return None
    if any(_INCLUDES.search(file.read_text(errors="replace")) for file in indexes.local if file.is_file()):
        return None
    return json.dumps(
        [
            uv.pinned_version(),
            target.python_version,
            target.uv_platform,
            lines,
            [line.text for line in requirements.constraints],
            [option for option in requirements.options if not is_index_option(option)],
            indexes.options,
            dict(indexes.environment),
            [_state(directory) for directory in indexes.local],
            requirements.overrides,
        ]
    )


def load(path: Path) -> tuple[str, int] | None:
    """Read a cached resolution and its age in seconds; None if there is none, or it is too old or damaged."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return None
    text = storage.read_checked(path) if 0 <= age < _MAX_AGE_SECONDS else None
    return None if text is None else (text, int(age))


def save(path: Path, text: str) -> None:
    """Write a resolution to the cache."""
    storage.write_checked(path, text)


def copy(asked: str, known: Requirements, same: Requirements) -> None:
    """Reuse the cached resolution of `known` for `same` of another project, which asks the same question.

    Raises OSError if nothing is cached.
    """
    shutil.copy2(_cache_path(asked, known), _cache_path(asked, same))


def is_configured(directory: Path) -> bool:
    """Whether a configuration file of uv may affect the resolution."""
    if not _HARMLESS_TABLES.issuperset(TomlFile.pyproject(directory).table("tool", "uv")):
        return True
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [*directory.parents, directory, home / "uv", Path("/etc/uv")]
    return any((place / "uv.toml").exists() for place in places)


def _state(place: Path) -> list[tuple[str, int, int]]:
    """Names, times and sizes of the files in a local index or directory, or of a constraints file.

    They change when a distribution is added, or the file is edited.
    """
    paths = [place] if place.is_file() else [*place.glob("*"), *place.glob("*/index.html")]
    states = [(path.name, path.stat()) for path in paths]
    return sorted((name, state.st_mtime_ns, state.st_size) for name, state in states)
