"""Warnings about files and tables with requirements or versions that the builder does not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builder.errors import Notice, Origin
from builder.project.poetry import uses_poetry
from builder.project.toml_file import TomlFile


def not_read(directory: Path, lock: Path | None) -> tuple[Notice, ...]:
    """Notices about unread files and tables of a project, with the reason.

    :param lock: the project's own lock, if it has one.
    """
    if lock is not None:
        path = directory / "requirements.txt"
        text = f"`{lock.name}` is obeyed; `{path.name}` beside it is not read; remove the one that you do not keep"
        return (Notice(text, Origin(path)),) if path.is_file() else ()
    return (*_files(directory), *_tables(directory))


def _files(directory: Path) -> Iterator[Notice]:
    pyproject = TomlFile.pyproject(directory)
    reasons = {
        "Pipfile.lock": "something else says what is required; `Pipfile.lock` beside it is not read: remove one",
        "pixi.toml": "`pixi.toml` is not read, since the server has no conda; what the code needs of it has to be"
        " required from PyPI",
    }
    if uses_poetry(directory):
        reasons["setup.py"] = "the project is poetry's; `setup.py` beside it is not read: remove it"
    else:
        reasons["poetry.lock"] = (
            "`poetry.lock` is not read, since pyproject.toml does not name poetry as `build-backend`; for its"
            " versions run `poetry export --output requirements.txt` and commit that"
        )
    if pyproject.table("tool", "rye"):
        reasons["requirements.lock"] = (
            "rye's `requirements.lock` is not read; for its versions, commit a copy of it as requirements.txt"
        )
    reasons |= {
        path.name: f"`{path.name}` is not read, only `pylock.toml` is; rename it, or commit a copy"
        for path in sorted(directory.glob("pylock.*.toml"))
    }
    for name, text in reasons.items():
        if (directory / name).is_file():
            yield Notice(text, Origin(directory / name))


def _tables(directory: Path) -> Iterator[Notice]:
    pyproject = TomlFile.pyproject(directory)
    for key in ("dependencies", "pypi-dependencies"):
        if pyproject.table("tool", "pixi").get(key):
            text = (
                f"`[tool.pixi.{key}]` is not read; what the code needs of it has to be in `[project] dependencies`"
            )
            yield Notice(text, pyproject.origin("tool", "pixi", key))
    for key in ("overrides", "excludes"):
        if pyproject.table("tool", "pdm", "resolution").get(key):
            text = f"`{key}` of pdm are not read; run `pdm lock` and commit pdm.lock, which is obeyed"
            yield Notice(text, pyproject.origin("tool", "pdm", "resolution", key))
