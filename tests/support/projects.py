"""The small projects of `tests/projects`, one for each trait, and what the builder must make of them.

Each has a `trait.txt`, of which `scripts/projects_doc.py` makes a table, and, unless a test of its own builds it
(`broken-*`: `tests/verification/test_verify.py`), an `expect.toml`:

    project = "app"                  # the directory to build; default: the whole tree
    options = ["--extra", "fast"]    # of the command line
    locked = ["tool==2.0"]           # what is in the lock, besides dagster and dagster-cloud
    local = ["app==1.0"]             # the packages that are installed in the source PEX
    files = ["app/__init__.py"]      # files that must be in the source PEX
    absent = ["app/tests.py"]        # files that must not
    says = ["beside it is not read"] # words on the screen
    refused = ["setup.py:3"]         # words of the error, where there is one
    loads = false                    # no server can load it; default: true
    assets = ["orders"]              # what the receiving server must find, by way of
    [code_source]
    package_name = "app"

`@INDEX@`, `@ROOT@` and the like in the files stand for what a test run knows only then.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECTS = Path(__file__).parents[1] / "projects"

_NO_PART_OF_THE_PROJECT = ("trait.txt", "expect.toml")


@dataclass(frozen=True, slots=True)
class Trait:
    """A project and what must become of it: see this module's docstring."""

    name: str
    project: str = "."
    options: tuple[str, ...] = ()
    locked: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    says: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    loads: bool = True
    code_source: Mapping[str, str] = field(default_factory=lambda: {"package_name": "app"})

    @classmethod
    def load(cls, name: str) -> Trait:
        document = tomllib.loads((PROJECTS / name / "expect.toml").read_text(encoding="utf-8"))
        lists = {key: value for key, value in document.items() if isinstance(value, list)}
        kinds = {key: frozenset if key in {"locked", "local", "files", "absent"} else tuple for key in lists}
        return cls(name, **{**document, **{key: kinds[key](value) for key, value in lists.items()}})

    def copy(self, destination: Path, values: Mapping[str, str]) -> None:
        """Put the tree there, with the values of its placeholders, `@NAME@`."""
        shutil.copytree(PROJECTS / self.name, destination, ignore=shutil.ignore_patterns(*_NO_PART_OF_THE_PROJECT))
        for path in destination.rglob("*"):
            if path.is_file():
                text = path.read_text(encoding="utf-8")
                for name, value in values.items():
                    text = text.replace(f"@{name}@", value)
                path.write_text(text, encoding="utf-8")


def load_traits() -> list[Trait]:
    """All that say what must become of them, by name."""
    return [Trait.load(path.parent.name) for path in sorted(PROJECTS.glob("*/expect.toml"))]
