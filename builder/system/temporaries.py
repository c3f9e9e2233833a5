"""The temporary files and directories of this process that are in use, and how to remove them all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

in_use: Final[set[Path]] = set()
"""Paths are added when they are made, and discarded once they are renamed or gone."""


def remove_all() -> None:
    """Remove what is in use: the process is about to end."""
    for temporary in list(in_use):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
