"""Checking that a lock has the packages that Dagster Cloud requires, and saying how to add missing ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin, ResolutionError
from builder.project.lines import line_of_name
from builder.project.locks import KINDS, declares_by_pipfile
from builder.project.names import required_name
from builder.project.poetry import uses_poetry
from builder.project.requirements import SERVERLESS, Requirements
from builder.project.toml_file import TomlFile, table
from builder.resolution.dagster_cloud import where_to_add
from builder.resolution.lock import Lock

_NOT_READ: Final = {
    "Pipfile": "Run `pipenv lock` and commit Pipfile.lock, which is obeyed",
    "requirements.in": "Run `pip-compile requirements.in` and commit requirements.txt, which is read",
    **dict.fromkeys(
        ("environment.yml", "environment.yaml", "conda-lock.yml", "conda-lock.yaml", "pixi.toml"),
        "The server has no conda: run `pip list --format=freeze > requirements.txt` in the environment, and commit"
        " what the code needs of it",
    ),
}
"""Files that may declare requirements but are not read, with a hint for each."""


def check_not_asked_for(lock: Lock, requirements: Requirements) -> None:
    """Raise ResolutionError if a missing package is in an unselected extra or group, or in an unread setup.py."""
    missing = _missing(lock, requirements)
    directory = requirements.directory
    for option, name, where in _optional(directory, missing) if missing else ():
        raise ResolutionError(
            f"{_are(missing)} required only in the {option} `{name}`, which was not asked for",
            where=where,
            remedy=f'Ship it: give `--{option} {name}`, or write {option}s = ["{name}"] under [tool.builder]',
        )
    setup_py = directory / "setup.py"
    if missing and uses_poetry(directory) and all(line_of_name(name, setup_py).line for name in missing):
        raise ResolutionError(
            f"{_are(missing)} required only by setup.py, which is not read, since poetry does not read it either",
            where=line_of_name(missing[0], setup_py),
            remedy=f"Run `poetry add {' '.join(missing)}`, with the versions of setup.py, and commit the result",
        )


def check_complete(lock: Lock, requirements: Requirements) -> None:
    """Check that the lock has `dagster` and `dagster-cloud`, which the receiving server runs from the deps PEX.

    Raises ResolutionError, with the hint in the syntax of the project's own tool.
    """
    missing = _missing(lock, requirements)
    if not missing:
        return
    path = requirements.lock
    if path is not None:
        names, add = " ".join(missing), KINDS[path.name].add
        by_hand = f"Add {' and '.join(missing)} to what {path.name} is made from, and make it again"
        remedy = f"Run `{add} {names}` and commit {path.name}" if add else by_hand
        raise ResolutionError(f"{_are(missing)} not in the lock", where=Origin(path), remedy=remedy)
    place, lines = where_to_add(requirements.directory, missing)
    remedy = f"Add to `{place.name}`: {lines}"
    if declares_by_pipfile(requirements.directory):
        files = ((requirements.directory / name, how) for name, how in _NOT_READ.items())
        place, remedy = next(((path, how) for path, how in files if path.is_file()), (place, remedy))
    raise ResolutionError(
        f"{_are(missing)} not among what the project requires, and Dagster Cloud cannot run code without"
        f" {'it' if len(missing) == 1 else 'them'}",
        where=Origin(place),
        remedy=remedy,
    )


def _missing(lock: Lock, requirements: Requirements) -> list[str]:
    return sorted(name for name in SERVERLESS - requirements.local_names if lock.version_of(name) is None)


def _are(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names) + (" is" if len(names) == 1 else " are")


def _optional(directory: Path, names: Sequence[str]) -> Iterator[tuple[str, str, Origin]]:
    """The extras and groups that have all of these names: the option that selects one, its name, its origin."""
    pyproject = TomlFile.pyproject(directory)
    poetry = pyproject.table("tool", "poetry") if uses_poetry(directory) else {}
    lists = [
        *(("extra", key, value) for key, value in pyproject.table("project", "optional-dependencies").items()),
        *(("group", key, value) for key, value in pyproject.table("dependency-groups").items()),
        *(("extra", key, value) for key, value in table(poetry, "extras").items()),
        *(("group", key, list(table(value, "dependencies"))) for key, value in table(poetry, "group").items()),
    ]
    for option, key, value in lists:
        texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
        if set(names) <= {required_name(text) or canonicalize_name(text) for text in texts}:
            yield option, key, line_of_name(names[0], pyproject.path)
