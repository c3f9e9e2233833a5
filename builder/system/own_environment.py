"""Hiding the secrets in this process's environment from the programs that it starts.

Every program of the same user can read `/proc/PID/environ`, which shows the environment at a process's start, even
if the process changes its variables later. Hiding it is a precaution, not a boundary: root can read the memory of
this process, and the environment of the shell that set the variables stays readable.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

from builder.system.secret_variables import held_back

_PR_SET_DUMPABLE: Final = 4


def hide_secrets() -> None:
    """Overwrite the secrets in `/proc/PID/environ`, and forbid the user's other processes to inspect this one.

    `os.environ` keeps them. Does nothing if there are no secrets, or no `/proc`.
    """
    secrets = held_back(os.environ)
    if sys.platform != "linux" or not secrets:
        return
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in secrets:
        # The initial environment is in the memory that the C library's `getenv` returns.
        if address := libc.getenv(os.fsencode(name)):
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
