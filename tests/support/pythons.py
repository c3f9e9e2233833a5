"""Interpreters other than the one that runs the tests."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from builder.errors import TargetError
from builder.resolution import uv
from builder.resolution.pythons import find_python, works


@functools.cache
def any_python(version: str) -> Path:
    """A working interpreter of `version`: what the builder finds, else one that pyenv has, else uv installs it."""
    try:
        return find_python(version)
    except TargetError:
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        for candidate in sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")):
            if works(candidate, version):
                return candidate
    uv.run(["python", "install", version])
    return Path(uv.run(["python", "find", "--no-project", version]).stdout.strip())
