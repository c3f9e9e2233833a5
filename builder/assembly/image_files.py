"""Installing a wheel as files of an image, with the layout of `uv pip install` into the image's Python.

What a wheel's directories mean: https://packaging.python.org/specifications/binary-distribution-format/; what
RECORD says: https://packaging.python.org/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from builder.assembly.archive import Member, content_of, names_of_both, stored
from builder.assembly.scripts import read_console_scripts
from builder.assembly.wheels import Wheel, record_hash, refuse

INSTALLER: Final = b"dagster-builder\n"

_SCRIPT: Final = """\
# -*- coding: utf-8 -*-
import sys
from {module} import {name}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({call}())
"""
"""The script of an entry point, as uv writes it."""

_MODULE_SCRIPT: Final = """\
# -*- coding: utf-8 -*-
import runpy
if __name__ == "__main__":
    runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""
"""That of an entry point without a function, which pex knows and uv refuses."""

_PLACEHOLDER: Final = re.compile(rb"#!pythonw?(?=[\s])[^\n]*")
_LONGEST_SHEBANG: Final = 127
_SIGNATURES: Final = ("RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """The installation scheme of an image's Python; all paths are absolute POSIX paths in the image.

    :param python: the interpreter that scripts name.
    :param python_version: such as "3.11".
    :param prefix: what a wheel's `data` and `headers` are relative to.
    """

    python: str
    python_version: str
    site_packages: str
    scripts: str
    prefix: str

    def directory(self, kind: str, project: str) -> str | None:
        """The directory of a key of a wheel's `.data` directory; None for an unknown key."""
        headers = f"{self.prefix}/include/python{self.python_version}/{project}"
        return {
            "purelib": self.site_packages,
            "platlib": self.site_packages,
            "scripts": self.scripts,
            "data": self.prefix,
            "headers": headers,
        }.get(kind)


def installed_files(wheel: Wheel, scheme: Scheme, changed: frozenset[str] = frozenset()) -> tuple[Member, ...]:
    """The files of an installed wheel, sorted by name; names are relative to the image's root.

    :param changed: names of files that are not as the wheel's RECORD says.

    Raises AssemblyError for a wheel that cannot be installed.
    """
    files: dict[str, Member] = {}
    hashes: dict[str, str] = {}
    recorded = _recorded(wheel)
    for name, member in wheel.entries.items():
        target = _target(wheel, name, scheme)
        if target is None:
            continue
        placed = _with_interpreter(member, scheme) if target.startswith(f"{scheme.scripts}/") else member
        files[target] = placed._replace(name=target[1:])
        if placed.data is member.data and name in recorded and name not in changed:
            hashes[target] = recorded[name]
        else:
            hashes.pop(target, None)
    own = {
        f"{scheme.site_packages}/{wheel.dist_info}/INSTALLER": stored("", INSTALLER),
        **{f"{scheme.scripts}/{name}": script for name, script in _scripts(wheel, scheme)},
    }
    for target, member in own.items():
        files[target] = member._replace(name=target[1:])
        hashes.pop(target, None)
    record = f"{scheme.site_packages}/{wheel.record}"
    files[record] = stored(record[1:], _record(files, hashes, record, scheme))
    if clashes := names_of_both(files):
        refuse(wheel.file, f"its `{min(clashes)}` is both a file and a directory")
    return tuple(files[name] for name in sorted(files))


def _target(wheel: Wheel, name: str, scheme: Scheme) -> str | None:
    """Where a file of a wheel goes; None for what is written anew or of no use."""
    data_directory = f"{wheel.dist_info.removesuffix('.dist-info')}.data/"
    if not name.startswith(data_directory):
        ours = name in {wheel.record, *(f"{wheel.dist_info}/{signature}" for signature in _SIGNATURES)}
        return None if ours else f"{scheme.site_packages}/{name}"
    kind, _, relative = name.removeprefix(data_directory).partition("/")
    directory = scheme.directory(kind, wheel.name)
    if directory is None or not relative:
        refuse(wheel.file, f"no installer knows where its `{name}` belongs")
    return f"{directory}/{relative}"


def _with_interpreter(member: Member, scheme: Scheme) -> Member:
    """A script with the image's interpreter in its first line instead of `#!python`."""
    content = content_of(member)
    match = _PLACEHOLDER.match(content + b"\n")
    if match is None:
        return member._replace(executable=True)
    return stored(member.name, shebang(scheme.python) + content[match.end() :], executable=True)


def shebang(python: str) -> bytes:
    """The first line, without its end, of a script that an interpreter runs."""
    if len(python) + 2 <= _LONGEST_SHEBANG and " " not in python:
        return f"#!{python}".encode()
    # The kernel cuts longer lines off: a shell, to which the line is a string, starts the interpreter.
    return f"#!/bin/sh\n'''exec' '{python}' \"$0\" \"$@\"\n' '''".encode()


def _scripts(wheel: Wheel, scheme: Scheme) -> Iterator[tuple[str, Member]]:
    try:
        scripts = read_console_scripts(wheel.entry_points)
    except ValueError as error:
        refuse(wheel.file, f"its entry_points.txt is malformed: {error}")
    for name, module, attributes in scripts:
        if "/" in name or name in {"", ".", ".."}:
            refuse(wheel.file, f"its console script `{name}` is not a file name")
        if attributes:
            text = _SCRIPT.format(module=module, name=attributes[0], call=".".join(attributes))
        else:
            text = _MODULE_SCRIPT.format(module=module)
        yield name, stored("", shebang(scheme.python) + b"\n" + text.encode(), executable=True)


def _recorded(wheel: Wheel) -> Mapping[str, str]:
    """The hash that RECORD has of each file of a wheel, such as `sha256=…`."""
    text = content_of(wheel.entries[wheel.record]).decode(errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""))
    return {row[0]: row[1] for row in rows if len(row) >= 2 and row[1].startswith("sha256=")}


def _record(files: Mapping[str, Member], hashes: Mapping[str, str], record: str, scheme: Scheme) -> bytes:
    rows: list[tuple[str, str, str]] = []
    for target, member in files.items():
        digest = hashes.get(target) or f"sha256={record_hash(hashlib.sha256(content_of(member)).digest())}"
        rows.append((_relative(target, scheme), digest, str(member.size)))
    rows.append((_relative(record, scheme), "", ""))
    return _csv(sorted(rows))


def _relative(target: str, scheme: Scheme) -> str:
    if target.startswith(f"{scheme.site_packages}/"):
        return target[len(scheme.site_packages) + 1 :]
    return posixpath.relpath(target, scheme.site_packages)


def _csv(rows: Iterable[tuple[str, str, str]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode(errors="surrogateescape")
