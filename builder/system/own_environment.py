"""Keeping the secrets of this process's environment from the programs that it starts.

Every program of the same user may read `/proc/PID/environ`, which shows the environment that a process began with,
whatever it does to its variables later. This is a precaution, not a boundary: a process of root may read the
memory of this process, and the shell that set the variables still shows them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

from builder.system.secret_variables import held_back

_PR_SET_DUMPABLE: Final = 4


def hide_secrets() -> None:
    """Blank the secrets in what `/proc` shows, and take the right to look into this process from its equals.

    `os.environ` keeps them. Does nothing where there are none, or no `/proc`.
    """
    secrets = held_back(os.environ)
    if sys.platform != "linux" or not secrets:
        return
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in secrets:
        # What a process began with lies where the C library still finds it.
        if address := libc.getenv(os.fsencode(name)):
            ctypes.memset(address, 0, len(ctypes.string_at(address)))
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
