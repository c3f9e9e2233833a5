"""A table is read as it stands only where its build backend reads it so; elsewhere the backend is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.metadata import Metadata
from builder.project.requirements import read_requirements
from tests.support.requirements import MARKERS, no_backend, package, read, texts, write

PROJECT = """[project]
name = "app"
version = "1.0"
dependencies = ["dagster", {dependency}]
[build-system]
requires = ["x"]
build-backend = "{backend}"
"""


def project(directory: Path, backend: str, dependency: str = '"tool"', more: str = "") -> Path:
    text = PROJECT.format(dependency=dependency, backend=backend)
    return write(directory / "pyproject.toml", text + more).parent


@pytest.mark.parametrize(
    "backend, dependency, more, file",
    [
        ("hatchling.build", '"shared @ {root:parent:uri}/shared"', "", ""),
        ("hatchling.build", '"shared @ {env:LIBRARIES}/shared"', "", ""),
        ("hatchling.build", '"tool"', '[project.optional-dependencies]\nx = ["shared @ {root:uri}"]\n', ""),
        ("pdm.backend", '"tool"', "", "pdm_build.py"),
        ("pdm.backend", '"tool"', '[tool.pdm.build]\ncustom-hook = "hooks/build.py"\n', "hooks/build.py"),
        ("own", '"tool"', "", ""),
    ],
)
def test_the_backend_is_asked_where_it_may_make_something_else_of_the_table(
    tmp_path: Path, backend: str, dependency: str, more: str, file: str
) -> None:
    app = project(tmp_path / "app", backend, dependency, 'backend-path = ["."]\n' if backend == "own" else more)
    shared = package(tmp_path / "shared", "shared", "pytz")
    if file:
        write(app / file, "")

    def answer(directory: Path) -> Metadata:
        assert directory == app
        return Metadata(
            name="app",
            requires=("dagster", f"shared @ {shared.as_uri()}"),
            requires_python="",
            manifest=app / "pyproject.toml",
        )

    found = read_requirements(app, MARKERS, answer)
    assert texts(found) == ["dagster", "pytz"]
    assert found.local_packages == (app, shared)


@pytest.mark.parametrize(
    "backend", ["hatchling.build", "pdm.backend", "setuptools.build_meta", "flit_core.buildapi"]
)
def test_it_is_not_asked_where_the_table_says_all(tmp_path: Path, backend: str) -> None:
    project(tmp_path, backend, """ "tool; python_version > '3.9'", "other[x] @ https://host.invalid/other.zip" """)
    assert texts(read_requirements(tmp_path, MARKERS, no_backend)) == [
        "dagster",
        "tool",
        "other[x] @ https://host.invalid/other.zip",
    ]


@pytest.mark.parametrize("place", ["file:///${PROJECT_ROOT}/../shared", "file://${PROJECT_ROOT}/../shared"])
def test_project_root_is_the_directory_of_the_project(tmp_path: Path, place: str) -> None:
    shared = package(tmp_path / "shared", "shared", "pytz")
    app = project(tmp_path / "app", "pdm.backend", f'"shared @ {place}"')
    found = read(app)
    assert found.local_packages == (app, shared)
    assert texts(found) == ["dagster", "pytz"]


def test_what_only_hatchling_formats_is_no_url_for_others(tmp_path: Path) -> None:
    app = project(tmp_path / "app", "setuptools.build_meta", '"shared @ {root:parent:uri}/shared"')
    with pytest.raises(ProjectError, match="need hatchling, which does not build this project") as caught:
        read(app)
    assert str(caught.value.where) == f"{app / 'pyproject.toml'}:4"


POETRY = """[project]
name = "app"
version = "1.0"
requires-python = ">=3.10,<4"
dependencies = ["dagster", "shared (>=0.1)", "tool"]
[tool.poetry.dependencies]
shared = [
    { path = "../other", markers = "sys_platform == 'win32'" },
    { path = "../shared", markers = "sys_platform != 'win32'" },
]
tool = { git = "https://host.invalid/tool.git", tag = "v1" }
alone = "*"
[build-system]
requires = ["poetry-core>=2"]
build-backend = "poetry.core.masonry.api"
"""


def test_poetry_enriches_what_the_project_names_and_adds_nothing(tmp_path: Path) -> None:
    """As `poetry lock` does: poetry-core calls it dependencies for locking."""
    shared = package(tmp_path / "shared", "shared", "pytz")
    write(tmp_path / "app/pyproject.toml", POETRY)
    found = read(tmp_path / "app")
    assert found.local_packages == (tmp_path / "app", shared)
    assert texts(found) == ["dagster", "tool @ git+https://host.invalid/tool.git@v1", "pytz"]
