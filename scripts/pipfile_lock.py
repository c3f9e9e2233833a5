"""Read Pipfile.lock, or print it as requirements with hashes: `pipfile_lock.py [default] [develop]`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).parent.parent / "Pipfile.lock"


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked distribution.

    :param name: normalised (PEP 503).
    :param sha256: those of its files for all platforms, hexadecimal, sorted.
    :param marker: PEP 508, or empty.
    """

    name: str
    version: str
    sha256: tuple[str, ...]
    marker: str

    def requirement(self, *, marker: bool) -> str:
        """A line for `pip --require-hashes`, which evaluates the marker for the Python that it runs on."""
        condition = f" ; {self.marker}" if marker and self.marker else ""
        return f"{self.name}=={self.version}{condition}" + "".join(f" --hash=sha256:{h}" for h in self.sha256)


def read(*sections: str, path: Path = PATH) -> list[Locked]:
    """The distributions in some sections, sorted by name, without duplicates."""
    document = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for section in sections:
        for name, entry in document[section].items():
            hashes = tuple(sorted(value.removeprefix("sha256:") for value in entry["hashes"]))
            found[name] = Locked(name, entry["version"].removeprefix("=="), hashes, entry.get("markers", ""))
    return [found[name] for name in sorted(found)]


if __name__ == "__main__":
    print("\n".join(locked.requirement(marker=True) for locked in read(*sys.argv[1:])))
