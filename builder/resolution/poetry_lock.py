"""Reading poetry.lock with poetry's own export plugin, which uv fetches and runs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

from builder.errors import FetchError, Origin, ResolutionError
from builder.project.locks import read_lock_text
from builder.project.names import required_name
from builder.project.requirement_lines import local_part
from builder.project.requirements import Requirements
from builder.project.requirements_txt import read_requirements_txt
from builder.project.toml_file import TomlFile
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.system import process, storage

_TOOLS = ("poetry>=2.1,<3", "poetry-plugin-export>=1.9,<2")
_TIME_LIMIT = 300.0


def locked_requirements(requirements: Requirements, lock: Path) -> Requirements:
    """Read poetry.lock as pinned requirements with hashes.

    Raises ResolutionError with poetry's message if the lock does not match pyproject.toml.
    """
    with storage.scratch_directory() as scratch:
        exported = scratch / lock.name
        exported.write_text(_export(requirements, lock), encoding="utf-8")
        file = read_requirements_txt(exported)
    lines = [
        replace(line, origin=Origin(lock))
        for line in file.lines
        if local_part(line) is None and required_name(line.text) not in requirements.local_names
    ]
    return replace(requirements, lines=tuple(lines), options=file.options, lock=None)


def _export(requirements: Requirements, lock: Path) -> str:
    """Export the lock, or read the export from the cache if its inputs are unchanged."""
    parts = [read_lock_text(lock), TomlFile.pyproject(requirements.directory).text]
    key = json.dumps([_TOOLS, requirements.wanted.extras, requirements.wanted.groups, *parts])
    place = storage.cache_directory() / "exports" / hashlib.sha256(key.encode()).hexdigest()
    kept = storage.kept(place) or storage.keep(place, "requirements.txt", _run(requirements, lock).encode())
    return kept.read_text(encoding="utf-8")


def _run(requirements: Requirements, lock: Path) -> str:
    arguments = ["run", "--no-project", "--isolated", "--no-python-downloads", "--quiet"]
    for tool in _TOOLS:
        arguments += ["--with", tool]
    arguments += ["poetry", "export", "--no-interaction", "--format", "requirements.txt"]
    arguments.append(f"--only={','.join(('main', *requirements.wanted.groups))}")
    arguments += [f"--extras={extra}" for extra in requirements.wanted.extras]
    with storage.scratch_directory() as scratch:
        output = scratch / "requirements.txt"
        # In the project's directory poetry would run the plugins and the Python that are committed there.
        copy = storage.make_directory(scratch / "project")
        for path in (lock, requirements.directory / "pyproject.toml"):
            shutil.copyfile(path, copy / path.name)
        env = {
            **read_indexes(requirements.directory).variables_outside(scratch),
            "POETRY_VIRTUALENVS_CREATE": "false",
            "POETRY_CACHE_DIR": str(scratch / "cache"),
        }
        try:
            uv.run([*arguments, "--output", output], cwd=copy, extra_env=env, timeout=_TIME_LIMIT)
        except process.ProcessFailed as error:
            words = re.sub(r"://[^/@\s]+@", "://", (error.stderr + error.stdout).strip())
            if re.search(r"error sending request|failed to fetch|dns error", words, re.IGNORECASE):
                raise FetchError(
                    "poetry, which reads poetry.lock, could not be fetched",
                    detail=words,
                    remedy="Check the network and the index settings, then run it again",
                ) from error
            raise ResolutionError(
                "poetry.lock cannot be used",
                where=Origin(lock),
                detail=words,
                remedy="Run `poetry lock` and commit poetry.lock",
            ) from error
        text = output.read_text(encoding="utf-8")
    return text
