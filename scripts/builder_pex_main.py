"""The `__main__.py` of builder.pex.

It checks whether builder.pex supports this Python and platform, so it must run on every Python since 2.7;
`builder_pex_boot.py`, which does the work, need not.
"""

import json
import os
import sys

if hasattr(os, "uname"):
    _system, _machine = os.uname()[0], os.uname()[4]
else:
    _system, _machine = "Windows", os.environ.get("PROCESSOR_ARCHITECTURE", "")
_implementation = getattr(getattr(sys, "implementation", None), "name", "cpython")
_version = "%d.%d" % tuple(sys.version_info[:2])
# A 32-bit Python on a 64-bit kernel, and musl instead of glibc, cannot load the wheels.
_loads = sys.maxsize > 2**32 and (_system != "Linux" or "CS_GNU_LIBC_VERSION" in os.confstr_names)
_target = "%s-%s-%s-%s" % (_implementation, _version, _system, _machine)

_data = __loader__.get_data  # type: ignore[name-defined]
_targets = os.path.join(sys.path[0], "targets")

try:
    _manifest = _data(os.path.join(_targets, _target + ".json"))
except (IOError, OSError):
    _manifest = None
if _manifest is None or not _loads:
    _names = {"cpython": "CPython", "pypy": "PyPy", "Darwin": "macOS"}
    sys.stderr.write(
        "builder.pex: runs on %s; this is %s %s on %s %s%s (%s)\n"
        % (
            _data(os.path.join(_targets, "text")).decode("utf-8"),
            _names.get(_implementation, _implementation),
            _version,
            _names.get(_system, _system),
            _machine,
            "" if _manifest is None else ", 32-bit or without glibc",
            sys.executable,
        )
    )
    sys.exit(1)

import builder_pex_boot

builder_pex_boot.start(sys.path[0], json.loads(_manifest.decode("utf-8")), sys.argv[1:])
