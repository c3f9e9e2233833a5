"""Adding `dagster-cloud`, which the receiving server needs in the deps PEX, to projects that require only dagster.

A project made by `create-dagster` does not require `dagster-cloud`. The version that is added is that of dagster.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin
from builder.project.locks import KINDS
from builder.project.names import required_name
from builder.project.poetry import uses_poetry
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.project.toml_file import TomlFile
from builder.resolution.lock import Lock

NAME: Final = "dagster-cloud"


def lacks_dagster_cloud(lock: Lock, requirements: Requirements) -> bool:
    """Whether the lock has dagster but not dagster-cloud."""
    return (
        lock.version_of("dagster") is not None
        and lock.version_of(NAME) is None
        and NAME not in requirements.local_names
    )


def asking_for_dagster_cloud(requirements: Requirements) -> Requirements:
    """Add `dagster-cloud` next to `dagster` in the requirements; dagster's version determines its version."""
    lines = list(requirements.lines)
    names = [required_name(line.text) for line in lines]
    place = names.index("dagster") if "dagster" in names else len(lines)
    origin = lines[place].origin if place < len(lines) else Origin(requirements.directory)
    lines.insert(place, RequirementLine(text=NAME, origin=origin))
    return replace(requirements, lines=tuple(lines))


def added_notice(lock: Lock, requirements: Requirements) -> Notice:
    """The notice that `dagster-cloud` was added."""
    lacking = f"`{requirements.lock.name}` lacks it" if requirements.lock else "the project does not ask for it"
    version = lock.version_of(NAME) or ""
    return Notice(
        f"`{NAME}=={version}` was added: Dagster Cloud runs the code with it, and {lacking};"
        f" to have it in the project, {how_to_add(requirements, version)}",
        Origin(requirements.lock) if requirements.lock else requirements.origin_of("dagster"),
    )


def how_to_add(requirements: Requirements, version: str) -> str:
    """How a user adds `dagster-cloud` to the project, with the commands or files of the project's own tool."""
    requirement = f"{NAME}=={version}"
    lock = requirements.lock.name if requirements.lock else ""
    if lock and KINDS[lock].add:
        return f"run `{KINDS[lock].add} {requirement}` and commit {lock}"
    place, lines = where_to_add(requirements.directory, [requirement])
    return f"add to `{place.name}`: {lines}" + (f", and make `{lock}` again" if lock else "")


def where_to_add(directory: Path, texts: list[str]) -> tuple[Path, str]:
    """The project's file for requirements, and the requirements in that file's syntax.

    :param texts: names, or names and versions (`name==1.0`).
    """
    pyproject = TomlFile.pyproject(directory)
    if uses_poetry(directory) and not pyproject.table("project").get("dependencies"):
        pairs = (text.partition("==") for text in texts)
        lines = " and ".join(f'`{name} = "{version or "*"}"`' for name, _, version in pairs)
        return pyproject.path, f"{lines} under `[tool.poetry.dependencies]`"
    quoted = ", ".join(f'"{text}"' for text in texts)
    lines = " and ".join(f"a line `{text}`" for text in texts)
    for name, key, how in (
        ("pyproject.toml", "dependencies", quoted),
        ("setup.py", "install_requires", quoted),
        ("setup.cfg", "install_requires", lines),
    ):
        path = directory / name
        if path.is_file() and key in path.read_text(encoding="utf-8", errors="replace"):
            return path, f"{how} in `{key}`"
    return directory / "requirements.txt", lines
