"""Versions that packages take from their repository, by setuptools-scm: a copy that is built has no repository."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.system import process, storage

VARIABLE: Final = "SETUPTOOLS_SCM_PRETEND_VERSION"
"""Tells setuptools-scm, and hatch-vcs that rests on it, a version instead of asking the repository."""

_USERS: Final = re.compile(r"(setuptools|hatch)[-_.](scm|vcs)\b", re.IGNORECASE)
_TIME_LIMIT: Final = 120.0


def scm_version(directory: Path, requires: Iterable[str]) -> str:
    """The version of the package in `directory` by its repository; empty if it does not take it from there.

    :param requires: what its build requires.

    The user's own setting of the variable goes first. Where setuptools-scm finds none, the build will say why.
    """
    configured = os.environ.get(VARIABLE, "")
    if configured or not any(map(_USERS.match, requires)):
        return configured
    return _ask(directory)


@functools.cache
def _ask(directory: Path) -> str:
    arguments = [
        "run",
        "--no-project",
        "--isolated",
        "--no-python-downloads",
        "--quiet",
        "--with",
        "setuptools-scm",
    ]
    # A checkout of another user's, as in CI's containers, is still the one to be built.
    git = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    with storage.scratch_directory() as scratch:
        env = {**read_indexes(directory).variables_outside(scratch), **git, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            found = uv.run(
                [*arguments, "python", "-m", "setuptools_scm"], cwd=directory, extra_env=env, timeout=_TIME_LIMIT
            )
        except process.ProcessFailed:
            return ""
    return found.stdout.strip()
