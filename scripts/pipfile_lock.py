"""Read Pipfile.lock; as a program, print it as hashed requirements: `pipfile_lock.py [default] [develop]`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).parent.parent / "Pipfile.lock"


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked distribution.

    :param name: in normal form (PEP 503).
    :param sha256: of each of its files, for all platforms, hexadecimal.
    :param marker: PEP 508, or empty.
    """

    name: str
    version: str
    sha256: frozenset[str]
    marker: str

    @property
    def requirement(self) -> str:
        """A line for `pip --require-hashes`."""
        marker = f" ; {self.marker}" if self.marker else ""
        hashes = "".join(f" --hash=sha256:{value}" for value in sorted(self.sha256))
        return f"{self.name}=={self.version}{marker}{hashes}"


def read(*sections: str, path: Path = PATH) -> list[Locked]:
    """The distributions of some sections, by name; what is in several of them comes once."""
    document = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for section in sections:
        for name, entry in document[section].items():
            hashes = frozenset(value.removeprefix("sha256:") for value in entry["hashes"])
            found[name] = Locked(name, entry["version"].removeprefix("=="), hashes, entry.get("markers", ""))
    return [found[name] for name in sorted(found)]


if __name__ == "__main__":
    print("\n".join(locked.requirement for locked in read(*sys.argv[1:])))
