"""Which Python a project is made for, where no option says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.errors import Origin, ProjectError
from builder.project.location import SourceTree
from builder.project.python_version import ChosenPython, choose_python
from tests.support.requirements import write

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
POETRY = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n[tool.poetry]\n'


def choose(*directories: Path) -> ChosenPython:
    return choose_python([SourceTree(each, each) for each in directories], VERSIONS, "3.11")


def project(directory: Path, requires_python: str) -> Path:
    text = f'[project]\nname = "{directory.name}"\nversion = "1"\nrequires-python = "{requires_python}"\n'
    return write(directory / "pyproject.toml", text).parent


@pytest.mark.parametrize(
    "text, version",
    [
        ("3.12\n", "3.12"),
        ("3.12.4", "3.12"),
        ("# ours\n\n3.13 # newest\n3.12\n", "3.13"),
        ("cpython-3.12.1-linux-x86_64-gnu\n", "3.12"),
        ("cpython@3.10\n", "3.10"),
        ("3.14t\n", "3.11"),
        ("my-environment\n", "3.11"),
        ("pypy3.10\n", "3.11"),
        ("system\n", "3.11"),
        (">=3.12,<3.14\n", "3.12"),
        (">=3.10\n", "3.11"),
        ("", "3.11"),
    ],
)
def test_a_python_version_file_decides(tmp_path: Path, text: str, version: str) -> None:
    write(tmp_path / ".python-version", text)
    assert choose(tmp_path).version == version


def test_the_file_is_looked_for_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    path = write(tmp_path / ".python-version", "3.12\n")
    build = project(tmp_path / "repository/locations/one", ">=3.9")
    assert choose(build).version == "3.11"
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    assert choose(build).version == "3.11"
    path.rename(tmp_path / "repository/.python-version")
    assert choose(build) == ChosenPython("3.12", Origin(tmp_path / "repository/.python-version", 1))
    write(build / ".python-version", "3.13\n")
    assert choose(build).version == "3.13"


@pytest.mark.parametrize(
    "requires_python, version",
    [
        (">=3.12", "3.12"),
        ("<3.11", "3.10"),
        (">=3.9", "3.11"),
        ("==3.13.*", "3.13"),
        ("!=3.11.*", "3.10"),
        (">3.11.2", "3.11"),
    ],
)
def test_without_one_the_nearest_that_the_project_allows(
    tmp_path: Path, requires_python: str, version: str
) -> None:
    path = project(tmp_path, requires_python) / "pyproject.toml"
    assert choose(tmp_path) == ChosenPython(version, Origin(path, 4) if version != "3.11" else None)


def test_all_locations_have_a_say(tmp_path: Path) -> None:
    one, two = project(tmp_path / "one", ">=3.12"), project(tmp_path / "two", ">=3.10,!=3.12.*")
    assert choose(one, two).version == "3.13"
    write(one / ".python-version", "3.14")
    assert choose(one, two).version == "3.14"
    write(two / ".python-version", "3.13")
    with pytest.raises(ProjectError, match=r"asks for Python 3\.14.* for Python 3\.13") as caught:
        choose(one, two)
    assert "--python-version" in str(caught.value.remedy)


def test_uvs_list_of_versions_decides_where_there_is_no_single_one(tmp_path: Path) -> None:
    path = write(tmp_path / ".python-versions", "3.12\n3.13\n")
    assert choose(tmp_path) == ChosenPython("3.12", Origin(path, 1))
    write(tmp_path / ".python-version", "3.10")
    assert choose(tmp_path).version == "3.10"


def test_a_pipfile_names_its_python(tmp_path: Path) -> None:
    path = write(tmp_path / "Pipfile", '[packages]\nsix = "*"\n[requires]\npython_version = "3.12"\n')
    assert choose(tmp_path) == ChosenPython("3.12", Origin(path, 4))
    # It is not what declares the project any more.
    write(tmp_path / "requirements.txt", "six\n")
    assert choose(tmp_path).version == "3.11"


def test_a_lock_of_pep_751_names_its_python(tmp_path: Path) -> None:
    path = write(tmp_path / "pylock.toml", 'lock-version = "1.0"\nrequires-python = ">=3.12"\n')
    assert choose(tmp_path) == ChosenPython("3.12", Origin(path, 2))


def test_what_no_version_allows_is_for_reading_the_project_to_say(tmp_path: Path) -> None:
    assert choose(project(tmp_path, ">=3.15")).version == "3.11"
    write(tmp_path / "pyproject.toml", "[project\n")
    assert choose(tmp_path).version == "3.11"


def test_a_version_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    write(tmp_path / ".python-version", "3.8.10\n")
    chosen = choose(tmp_path)
    assert chosen.version == "3.11"
    assert [notice.where for notice in chosen.notices] == [Origin(tmp_path / ".python-version", 1)]


def test_poetry_and_setup_cfg_have_their_own_words(tmp_path: Path) -> None:
    text = 'name = "one"\nversion = "1"\ndescription = ""\nauthors = []\n'
    write(tmp_path / "one/pyproject.toml", f'{POETRY}{text}[tool.poetry.dependencies]\npython = "^3.12"\n')
    write(tmp_path / "two/setup.cfg", "[metadata]\nname = two\n[options]\npython_requires = >=3.13\n")
    assert choose(tmp_path / "one") == ChosenPython("3.12", Origin(tmp_path / "one/pyproject.toml", 10))
    assert choose(tmp_path / "two") == ChosenPython("3.13", Origin(tmp_path / "two/setup.cfg", 4))
