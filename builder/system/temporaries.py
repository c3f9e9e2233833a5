"""The registry of this process's temporary files and directories, which are removed when it is stopped."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Final

in_use: Final[set[Path]] = set()
"""Paths are added when they are created, and removed when they are renamed or deleted."""


creation: Final = threading.Lock()
"""Held while a path is created and added."""


def remove_all() -> None:
    """Remove all registered files and directories, because the process is about to end.

    Threads that would create another one wait for ever.
    """
    creation.acquire()
    for temporary in list(in_use):
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
