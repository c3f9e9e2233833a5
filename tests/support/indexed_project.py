"""A project on a machine with two package indexes, and what it resolves to."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.errors import Notice
from builder.project.metadata import Metadata
from builder.project.requirements import read_requirements
from builder.resolution.lock import Lock
from builder.resolution.resolve import resolve
from builder.resolution.target import serverless_target
from builder.resolution.wheels import fetch_wheels
from tests.support.commands import DAGSTER, write_tree
from tests.support.index import Index
from tests.support.wheels import make_wheel

SECRET = "s3cr3t"
TARGET = serverless_target("3.11")
_BASIC = "dagster\ndagster-cloud\n"


@dataclass(slots=True)
class IndexedProject:
    """A project with its own cache, and two indexes: a public one, and one with a password."""

    root: Path
    public: Index
    private: Index
    monkeypatch: pytest.MonkeyPatch
    notices: tuple[Notice, ...] = ()

    def configure(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def pip_conf(self, text: str) -> None:
        path = self.root / "pip.conf"
        path.write_text(f"[global]\n{text}\n", encoding="utf-8")
        self.configure(PIP_CONFIG_FILE=str(path))

    def resolve(self, requirements: str = "", files: Mapping[str, str] | None = None) -> Lock:
        """Resolve a project with this requirements.txt."""
        directory = self.root / "project"
        write_tree(directory, {"requirements.txt": _BASIC + requirements, **(files or {})})
        resolution = resolve(read_requirements(directory, TARGET.markers, _no_backend), TARGET)
        self.notices = resolution.notices
        assert SECRET not in resolution.lock.text
        return resolution.lock

    def versions(self, requirements: str = "", files: Mapping[str, str] | None = None) -> dict[str, str]:
        """Resolve a project, fetch or build its wheels, and return their versions by name."""
        lock = self.resolve(requirements, files)
        fetched = fetch_wheels(lock)
        assert all(zipfile.is_zipfile(file.path) for file in fetched.values())
        return {found.name: found.version for found in lock.distributions if not found.name.startswith("dagster")}


def _no_backend(directory: Path) -> Metadata:
    raise AssertionError(f"nobody has to build {directory}")


def put(index: Index | Path, name: str, version: str) -> None:
    """Add a wheel with one module to an index, or to a directory."""
    directory = index if isinstance(index, Path) else index.directory
    make_wheel(directory, {f"{name}.py": f"version = {version!r}\n"}, name=name, version=version)


def put_dagster(index: Index) -> None:
    """Add what every project needs here."""
    for name in ("dagster", "dagster-cloud"):
        put(index, name, DAGSTER)


def project_of(dependencies: str, more: str) -> dict[str, str]:
    """The files of a project with these dependencies, and `more` in its `pyproject.toml`."""
    return {"pyproject.toml": f'[project]\nname = "app"\nversion = "1"\ndependencies = [{dependencies}]\n{more}'}


def index_table(url: str, more: str) -> str:
    """A table of `pyproject.toml` that names an index."""
    return f'[[tool.uv.index]]\nname = "our-own"\nurl = "{url}"\n{more}\n'
