"""Installing a wheel under `.deps/` of a PEX, in the layout of pex 2.1.132 to 2.59.5.

Pure and platform code lie at the root, whatever else is in the wheel's `.data` below `.prefix`, console scripts
are written out, and RECORD is left to the receiver. docs/pex-layout.md tells why and what else is known of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from builder.assembly.archive import Member, names_of_both, stored
from builder.assembly.scripts import console_scripts
from builder.assembly.wheels import Wheel, refuse

STASH: Final = ".prefix"
LAYOUT: Final = ".layout.json"

_BYTECODE: Final = re.compile(r"\.py[co]$|\.pyc\.[0-9]+$")


class UnsupportedWheelError(Exception):
    """A valid wheel that only pex itself can install; the message says why."""


@dataclass(frozen=True, slots=True)
class InstalledWheel:
    """What a wheel looks like inside a PEX.

    :param members: sorted; names are relative to the wheel's own directory under `.deps/`.
    """

    wheel: Wheel
    members: tuple[Member, ...]


def install(wheel: Wheel) -> InstalledWheel:
    """The members of an installed wheel; raises AssemblyError, or UnsupportedWheelError if pex should do it."""
    members: dict[str, Member] = {}
    for member in _spread(wheel):
        if member.name in members:
            raise UnsupportedWheelError(f"it has two files for `{member.name}`")
        members[member.name] = member
    own = [*_console_scripts(wheel), stored(f"{wheel.dist_info}/INSTALLER", b"pex\n"), _layout(wheel)]
    members |= {member.name: member for member in own}
    if clashes := names_of_both(members):
        refuse(wheel.file, f"its `{min(clashes)}` is both a file and a directory")
    return InstalledWheel(wheel, tuple(members[name] for name in sorted(members)))


def _spread(wheel: Wheel) -> Iterator[Member]:
    """Yield each file under the name that it has when installed."""
    data_directory = f"{wheel.dist_info.removesuffix('.dist-info')}.data/"
    schemes = {
        "purelib": "",
        "platlib": "",
        "data": f"{STASH}/",
        "scripts": f"{STASH}/bin/",
        # Only the receiver knows its Python's version, and replaces `pythonX.Y`.
        "headers": f"{STASH}/include/site/pythonX.Y/{wheel.name}/",
    }
    for name, member in wheel.entries.items():
        if "\\" in name or name.startswith(f"{STASH}/"):
            raise UnsupportedWheelError(f"it has a file named `{name}`")
        relative, target, executable = name, name, member.executable
        if name.startswith(data_directory):
            scheme, _, relative = name.removeprefix(data_directory).partition("/")
            if scheme not in schemes or not relative:
                refuse(wheel.file, f"no installer knows where its `{name}` belongs")
            target = schemes[scheme] + relative
            executable = member.executable or scheme == "scripts"
        if relative != wheel.record and not _BYTECODE.search(target):
            yield member._replace(name=target, executable=executable)


def _console_scripts(wheel: Wheel) -> Iterator[Member]:
    try:
        scripts = console_scripts(wheel.entry_points)
    except ValueError as error:
        refuse(wheel.file, f"its entry_points.txt is malformed: {error}")
    for name, text in scripts.items():
        if "/" in name or name in {"", ".", ".."}:
            refuse(wheel.file, f"its console script `{name}` is not a file name")
        yield stored(f"{STASH}/bin/{name}", text.encode(), executable=True)


def _layout(wheel: Wheel) -> Member:
    layout = {"record_relpath": wheel.record, "root_is_purelib": wheel.root_is_purelib, "stash_dir": STASH}
    return stored(LAYOUT, json.dumps(layout, sort_keys=True).encode())
