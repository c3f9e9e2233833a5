"""Finding an installed Python interpreter of the target's version."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from builder.errors import TargetError, ToolError
from builder.resolution import uv
from builder.system import process

_PROBE = "import sys; sys.stdout.write('%d.%d\\n%s' % (*sys.version_info[:2], sys.executable))"


@functools.lru_cache
def find_python(version: str) -> Path:
    """Find a working interpreter of `version` ("3.11"): `pythonX.Y` on PATH, else one that uv finds.

    Returns the interpreter itself, not a wrapper such as pyenv's shims.

    Raises TargetError, with what to install, if there is none. Programs on PATH that do not work, such as pyenv's
    shims for versions that are not installed, are skipped.
    """
    for candidate in _candidates(version):
        if executable := _probe(candidate, version):
            return executable
    raise TargetError(
        f"there is no working `python{version}` on PATH, and uv knows none either",
        remedy=f"Install it: `uv python install {version}`, or in GitHub Actions add a step"
        f" `uses: actions/setup-python` with `python-version: '{version}'`",
    )


def works(python: Path, version: str) -> bool:
    """Whether `python` starts and is of `version`."""
    return _probe(python, version) is not None


def _probe(python: Path, version: str) -> Path | None:
    """The path of the interpreter that `python` starts, if it is of `version`."""
    try:
        finished = process.run([python, "-I", "-c", _PROBE], env=process.clean_environment(), timeout=30)
    except ToolError:
        return None
    actual, _, executable = finished.stdout.partition("\n")
    return (Path(executable) if executable else python) if actual == version else None


def _candidates(version: str) -> Iterator[Path]:
    for directory in os.get_exec_path():
        candidate = Path(directory, f"python{version}")
        if os.access(candidate, os.X_OK):
            yield candidate
    try:
        finished = uv.run(["python", "find", "--no-project", "--no-python-downloads", version])
    except ToolError:
        return
    yield Path(finished.stdout.strip())
