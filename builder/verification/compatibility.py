"""Checking whether this machine can run PEX files that were built for the target."""

from __future__ import annotations

import functools
import json
import platform
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from builder.errors import LoadError, TargetError
from builder.resolution.pythons import find_python

_PEX_INFO: Final = "PEX-INFO"
_CONSTRAINT: Final = re.compile(r"CPython==(\d+\.\d+)\.\*")


@dataclass(frozen=True, slots=True)
class NotVerified:
    """Why a location could not be loaded on this machine. It may still load on the server.

    :param reason: one sentence without a full stop.
    :param remedy: how to make verification possible.
    """

    reason: str
    remedy: str | None = None


def pex_info(pex: Path) -> dict[str, Any]:
    """Read PEX-INFO from a PEX file or an unpacked one; raises LoadError."""
    try:
        if pex.is_dir():
            content = (pex / _PEX_INFO).read_bytes()
        else:
            with zipfile.ZipFile(pex) as archive:
                content = archive.read(_PEX_INFO)
        info: dict[str, Any] = json.loads(content)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise LoadError(f"`{pex}` is not a PEX file: {error}", remedy="Build it again") from error
    return info


def python_version_of(pex: Path) -> str | None:
    """The Python version of a PEX file, such as `"3.11"`; None if it supports several versions."""
    constraints = pex_info(pex).get("interpreter_constraints")
    match = _CONSTRAINT.fullmatch(constraints[0]) if constraints and len(constraints) == 1 else None
    return match[1] if match else None


def unfit(deps: Path, python_version: str) -> NotVerified | None:
    """Why this machine cannot run a deps PEX (or an unpacked one); None if it can."""
    names = [name for name in pex_info(deps).get("distributions", {}) if not _runs_here(name, python_version)]
    if not names:
        return None
    more = f" and {len(names) - 1} other distributions" if len(names) > 1 else ""
    return NotVerified(
        f"this machine ({_description()}) cannot run `{names[0]}`{more}",
        "Run it on a machine like the server's, such as a Linux runner of its architecture in GitHub Actions",
    )


def interpreter(python_version: str) -> Path | NotVerified:
    """Find the interpreter of a version, or say why there is none."""
    try:
        return find_python(python_version)
    except TargetError as error:
        return NotVerified(error.what, error.remedy)


def _runs_here(wheel: str, python_version: str) -> bool:
    try:
        return not parse_wheel_filename(wheel)[3].isdisjoint(_tags(python_version))
    except InvalidWheelFilename:
        # PEX files of other builders may hold other file names; pex-tools reports those that it cannot handle.
        return True


@functools.cache
def _tags(python_version: str) -> frozenset[Any]:
    """The wheel tags that a CPython of a version accepts on this machine."""
    version = tuple(map(int, python_version.split(".")))
    abi = f"cp{version[0]}{version[1]}"
    return frozenset(cpython_tags(version, abis=[abi])) | frozenset(compatible_tags(version, interpreter=abi))


def _description() -> str:
    libc, version = platform.libc_ver()
    return f"{platform.system()} {platform.machine()}" + (f", {libc} {version}" if libc else "")
