"""Packages with a web application, which another tool has to build first.

git ignores what is built, so a backend leaves it out without a word, and a package without its web application
builds, installs and imports like one with it. dagster-webserver 1.12.16 was released like that, and withdrawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.project.toml_file import TomlFile

ENTRY: Final = "index.html"
"""The file that every web application has: its page."""

SOURCES: Final = "js_modules"
"""Where the sources of dagster's web applications lie, below the repository's root."""

_KNOWN: Final = {"dagster-webserver": "dagster_webserver/webapp/build"}
"""Whatever the manifest says of it or forgets to say."""


@dataclass(frozen=True, slots=True)
class Webapp:
    """A web application that a package ships.

    :param path: its directory, relative to the package's, as it is in the wheel too.
    :param built: whether it has been built there.
    """

    path: str
    built: bool

    def missing_in(self, members: Iterable[str]) -> tuple[str, ...]:
        """What a wheel with these members lacks of it: its page, or the scripts that the page loads."""
        inside = [name for name in members if name.startswith(f"{self.path}/")]
        lacking = [] if f"{self.path}/{ENTRY}" in inside else [ENTRY]
        return (*lacking, *([] if any(name.endswith(".js") for name in inside) else ["*.js"]))


def find_webapp(name: str, directory: Path) -> Webapp | None:
    """The web application that the package in `directory` ships; None if it ships none.

    :param name: of the package, normalised.

    It is what the manifest calls an artefact of the build with `webapp` in its path: `artifacts` of hatchling,
    `recursive-include` in MANIFEST.in.
    """
    for path in (*([_KNOWN[name]] if name in _KNOWN else []), *_declared(directory)):
        return Webapp(path, (directory / path / ENTRY).is_file())
    return None


def _declared(directory: Path) -> Iterator[str]:
    pyproject = TomlFile.pyproject(directory)
    for keys in ((), ("targets", "wheel")):
        artefacts = pyproject.table("tool", "hatch", "build", *keys).get("artifacts")
        for pattern in artefacts if isinstance(artefacts, list) else []:
            if "webapp" in str(pattern).split("/"):
                yield re.sub(r"(/\*+)?/?$", "", str(pattern).lstrip("/"))
    manifest = directory / "MANIFEST.in"
    if manifest.is_file():
        text = manifest.read_text(encoding="utf-8", errors="replace")
        for included in re.findall(r"(?m)^\s*(?:recursive-include|graft)\s+(\S+)", text):
            if "webapp" in included.split("/"):
                yield included.rstrip("/")
