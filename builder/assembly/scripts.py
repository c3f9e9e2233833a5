"""Console scripts of a wheel's entry points, as pex 2.59.5 writes them into a PEX.

Format of entry_points.txt: https://packaging.python.org/specifications/entry-points/#file-format
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# Receivers replace `#!python` by the Python of the venv that they make.
_HEAD: Final = "#!python\n# -*- coding: utf-8 -*-\n"

# _PEX_ROOT_FALLBACK is set when pex could not write to its cache directory and made a temporary one.
_MAIN: Final = """\
if __name__ == "__main__":
    import os
    pex_root_fallback = os.environ.get("_PEX_ROOT_FALLBACK")
    if pex_root_fallback:
        import atexit
        import shutil

        atexit.register(shutil.rmtree, pex_root_fallback, True)

"""

_CALL: Final = """\
import importlib
import sys

entry_point = importlib.import_module({module!r})
for attr in {attributes!r}:
    entry_point = getattr(entry_point, attr)

"""

_RUN: Final = """\
import runpy
import sys

"""


def console_scripts(entry_points: bytes) -> dict[str, str]:
    """The text of each console and GUI script by name, as pex writes it; raises ValueError as below."""
    return {name: _script(module, attributes) for name, module, attributes in read_console_scripts(entry_points)}


def read_console_scripts(entry_points: bytes) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, module and attributes of each console and GUI script; raises ValueError on the first malformed line.

    :param entry_points: the content of entry_points.txt.
    """
    return [
        (name, module, attributes)
        for wanted in ("console_scripts", "gui_scripts")
        for group, name, module, attributes in read_entry_points(entry_points)
        if group == wanted
    ]


def read_entry_points(entry_points: bytes) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Yield group, name, module and attributes of each entry point, refusing what pex refuses by ValueError."""
    group = ""
    for line in (line.decode().strip() for line in entry_points.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
            continue
        name, equals, value = line.partition("=")
        module, colon, reference = (part.strip() for part in value.partition("[")[0].partition(":"))
        if not group or not equals or "=" in value or not module or bool(colon) != bool(reference):
            raise ValueError(line)
        yield group, name.strip(), module, tuple(reference.split(".")) if reference else ()


def _script(module: str, attributes: tuple[str, ...]) -> str:
    if attributes:
        start, last = _CALL.format(module=module, attributes=attributes), "    sys.exit(entry_point())\n"
    else:
        start = _RUN
        last = f'    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)\n    sys.exit(0)\n'
    return _HEAD + start + _MAIN + last
