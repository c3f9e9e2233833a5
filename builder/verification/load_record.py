"""Records that a location loads, so that a deploy need not load the same files a second time.

Each is a file in `loads` of the cache, named by all that decided the result (`record_name`).
"""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from builder.errors import Notice, Origin
from builder.project.location import CodeSource
from builder.system import process, storage
from builder.verification.load import Definitions, Loaded
from builder.verification.unpack import interpreter_key

_VALID_SECONDS: Final = 86400.0
"""Age at which a location is loaded again: its code may depend on what lies outside its files."""

_COMMIT: Final = "DAGSTER_CLOUD_GIT_SHA"
"""The variable that differs in each commit, also where no file of the location does."""


def record_name(
    name: str,
    source: Sequence[str],
    deps: str,
    python: Path,
    code: CodeSource,
    environment: Mapping[str, str],
) -> str:
    """Hash what decides whether and how a location loads.

    :param source: the sha256 of the files with its code.
    :param deps: a hash of its dependencies.
    :param python: the interpreter; its path, size and time of change count.
    :param environment: the variables that the server will set. Of this process's variables only the names count:
        CI gives some of them another value in each run, and the server has its own.
    """
    status = python.stat()
    facts = {
        "program": hashlib.sha256(pkgutil.get_data(__package__, "child.py") or b"").hexdigest(),
        "name": name,
        "source": list(source),
        "deps": deps,
        "python": [interpreter_key(python), status.st_size, status.st_mtime_ns],
        "code": asdict(code),
        "given": {key: value for key, value in environment.items() if key != _COMMIT},
        "names": sorted(process.clean_environment()),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_record(name: str, directory: Path | None) -> tuple[Loaded, float] | None:
    """What was recorded under a name, and its age in seconds; None if it is missing, too old or damaged.

    :param directory: the build directory, with the files that warnings are about.
    """
    text = storage.read_checked(_directory() / name)
    if text is None:
        return None
    record: dict[str, Any] = json.loads(text)
    # Below zero if the clock was set back.
    age = time.time() - record["time"]
    if not 0 <= age < _VALID_SECONDS:
        return None
    loaded = Loaded(
        definitions=Definitions(**{kind: tuple(names) for kind, names in record["definitions"].items()}),
        warnings=tuple(
            Notice(text, Origin(directory / path, line) if directory and path else None)
            for text, path, line in record["warnings"]
        ),
        dagster_version=record["dagster_version"],
        seconds=record["seconds"],
    )
    return loaded, age


def write_record(name: str, loaded: Loaded, directory: Path | None) -> None:
    """Record under a name what a location defined; raises StorageError.

    :param directory: as in `read_record`.
    """
    record = {
        "time": time.time(),
        "definitions": asdict(loaded.definitions),
        "warnings": [
            [
                notice.text,
                os.path.relpath(notice.where.path, directory) if notice.where and directory else None,
                notice.where.line if notice.where else None,
            ]
            for notice in loaded.warnings
        ],
        "dagster_version": loaded.dagster_version,
        "seconds": loaded.seconds,
    }
    storage.write_checked(storage.make_directory(_directory()) / name, json.dumps(record))


def _directory() -> Path:
    return storage.cache_directory() / "loads"
