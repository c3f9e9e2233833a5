"""Projects for tests of what a project asks for, and how those tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from builder.project.requirements import NO_EXTRAS, RequestedExtras, Requirements, read_requirements
from builder.resolution.target import serverless_target

MARKERS = serverless_target("3.11").markers

PACKAGE = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = {dependencies}
"""


def no_backend(directory: Path) -> NoReturn:
    pytest.fail(f"static metadata of {directory} was asked of a build backend")


def read(directory: Path, wanted: RequestedExtras = NO_EXTRAS) -> Requirements:
    """What a project asks for on Python 3.11, without any build backend."""
    return read_requirements(directory, MARKERS, no_backend, wanted)


def texts(requirements: Requirements) -> list[str]:
    return [line.text for line in requirements.lines]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def package(directory: Path, name: str, *dependencies: str, more: str = "") -> Path:
    write(directory / "pyproject.toml", PACKAGE.format(name=name, dependencies=list(dependencies)) + more)
    return directory
