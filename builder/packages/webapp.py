"""Finding the web applications that packages ship, and checking that wheels contain them.

Another tool has to build a web application before the package. Git ignores the result, so a backend omits it
without a warning, and the package still builds, installs and imports. dagster-webserver 1.12.16 was released
without its web application, and withdrawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.project.toml_file import TomlFile

ENTRY: Final = "index.html"
"""The page that every web application has."""

SOURCES: Final = "js_modules"
"""The directory of the web applications' sources in dagster's repository."""

_KNOWN: Final = {"dagster-webserver": "dagster_webserver/webapp/build"}
"""Web applications that are known even if the manifest does not declare them."""


@dataclass(frozen=True, slots=True)
class Webapp:
    """A web application that a package ships.

    :param path: its directory, relative to the package's directory and to the wheel's root.
    :param built: whether it has been built in that directory.
    """

    path: str
    built: bool

    def missing_in(self, members: Iterable[str]) -> tuple[str, ...]:
        """The files that a wheel with these members lacks: the page, or scripts that the page loads."""
        inside = [name for name in members if name.startswith(f"{self.path}/")]
        lacking = [] if f"{self.path}/{ENTRY}" in inside else [ENTRY]
        return (*lacking, *([] if any(name.endswith(".js") for name in inside) else ["*.js"]))


def find_webapp(name: str, directory: Path) -> Webapp | None:
    """Find the web application that the package in `directory` ships; None if it ships none.

    :param name: of the package, normalised.

    It is declared as a build artefact with `webapp` in its path: hatchling's `artifacts`, or `recursive-include`
    in MANIFEST.in.
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
