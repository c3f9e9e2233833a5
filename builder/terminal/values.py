"""Converting the values of common options: variables to pass, the project's directory, the output directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from builder.errors import ProjectError, UsageError
from builder.system import storage


def read_variables(texts: Sequence[str]) -> dict[str, str]:
    """The variables that `--env` names; those without a value have that of this process. Raises UsageError."""
    variables = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: there is no such variable here", remedy=f"Write --env {name}=VALUE")
        variables[name] = value if given else os.environ[name]
    return variables


def project_directory(path: Path) -> Path:
    """The project's directory, absolute; raises ProjectError if it is not a directory."""
    absolute = Path(os.path.normpath(path.absolute()))
    if not absolute.is_dir():
        missing = f"there is no directory `{absolute.name}` in `{absolute.parent}`"
        raise ProjectError(
            f"`{absolute}` is not a directory" if absolute.exists() else missing,
            remedy="Give the directory that holds your pyproject.toml, setup.py or requirements.txt",
        )
    return absolute


def output_directory(path: Path) -> Path:
    """Where artefacts go, absolute; it is made when the first one is written."""
    absolute = Path(os.path.normpath(path.absolute()))
    if absolute.exists() and not absolute.is_dir():
        raise UsageError(
            f"the output directory `{absolute}` is a file", remedy="Give a directory, behind what is to be built"
        )
    storage.remove_leftovers(absolute)
    return absolute
