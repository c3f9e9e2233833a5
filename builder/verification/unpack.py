"""Unpacking PEX files as the receiving server does, each into a virtual environment.

The server does it with `pex-tools` (`dagster_cloud/pex/grpc/server/registry.py`); of files of this builder, `venv`
makes the same. Left out is `--pip`, which takes most of the server's time. Unpacked deps PEXes are kept in the
cache, `verify/deps`, each in a directory of the name

    SHA256-PYTHON/venv      where the hash is that of the file, and that of the interpreter's path
                  stamp     written last: that it is complete, and what is in it; its time is that of the last use
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.assembly.bootstrap import PEX_VERSION
from builder.assembly.source_pex import assemble_source_pex
from builder.errors import LoadError, ToolError
from builder.system import process, storage
from builder.verification.compatibility import python_version_of
from builder.verification.venv import Unusual, lay_out

_KEPT: Final = 4
"""Unpacked deps PEXes that are kept, each some hundred megabytes."""

_IN_USE: Final = 3600.0
"""Seconds since its last use in which none is removed: another run may be at it."""

_SHARED: Final = ("bootstraps", "interpreters", "isolated")
"""What is in pex's own cache besides the content of PEX files: two thirds of the time to unpack a source PEX."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A PEX file as a virtual environment."""

    venv: Path

    @property
    def site_packages(self) -> Path:
        """The directory that is put on the path."""
        (directory,) = (self.venv / "lib").glob("python*/site-packages")
        return directory

    @property
    def bin(self) -> Path:
        """The directory of its programs."""
        return self.venv / "bin"

    @property
    def entry_point(self) -> Path:
        """The program that runs modules in it."""
        return self.venv / "pex"


def unpack(pex: Path, python: Path, venv: Path, like: Path | None = None) -> Unpacked:
    """Unpack a PEX file into a directory that is made; raises LoadError if `pex-tools` could not.

    :param like: an environment that may hold some of its wheels.
    """
    version = _version_of(pex)
    if version is None:
        return unpack_with_pex_tools(pex, python, venv)
    try:
        lay_out(pex, venv, skeleton(python, version), like)
    except Unusual:
        shutil.rmtree(venv, ignore_errors=True)
        return unpack_with_pex_tools(pex, python, venv)
    except OSError as error:
        raise storage.storage_error(error, venv) from error
    return Unpacked(venv)


def _version_of(pex: Path) -> str | None:
    """The Python that a PEX file is for; None if pex-tools is to find out what it is."""
    try:
        return python_version_of(pex)
    except LoadError:
        return None


def skeleton(python: Path, version: str) -> Path:
    """An empty PEX file as pex-tools unpacks it for an interpreter of a version, kept in the cache."""

    def make(venv: Path) -> None:
        with storage.scratch_directory() as scratch:
            empty = assemble_source_pex([], python_version=version, out_dir=scratch).artefact.path
            unpack_with_pex_tools(empty, python, venv)

    name = f"{PEX_VERSION}-{interpreter_key(python)}"
    return kept_environment(storage.cache_directory() / "verify" / "skeletons" / name, make)


def unpack_with_pex_tools(pex: Path, python: Path, venv: Path) -> Unpacked:
    """Unpack a PEX file as `unpack` does, in ten times the time, whatever builder made it."""
    shared = storage.make_directory(storage.cache_directory() / "verify" / "pex")
    try:
        _pex_tools(pex, python, venv, shared)
    except process.ProcessFailed:
        # Perhaps pex's cache is damaged, which it never looks at.
        with storage.exclusive(shared.with_suffix(".lock")):
            shutil.rmtree(shared, ignore_errors=True)
        shutil.rmtree(venv, ignore_errors=True)
        try:
            _pex_tools(pex, python, venv, None)
        except process.ProcessFailed as error:
            if os.strerror(errno.ENOSPC) in error.stderr:
                raise storage.storage_error(OSError(errno.ENOSPC, ""), venv, detail=error.detail) from error
            raise LoadError(
                f"`{pex.name}` cannot be unpacked, and the server could not unpack it either",
                detail=error.detail,
                remedy="Build it again; if it stays so, report it with the lines above",
            ) from error
    return Unpacked(venv)


def unpacked_deps(pex: Path, sha256: str, python: Path) -> Unpacked:
    """A deps PEX, unpacked now or kept from an earlier time; raises LoadError if it has to be and cannot.

    :param sha256: of the file, which need not be there any more if it was unpacked before.
    """
    place = _place(sha256, python)
    return Unpacked(kept_environment(place, lambda venv: unpack(pex, python, venv, _used_last(place))))


def unpack_both(source: Path, directory: Path, deps: Path, sha256: str, python: Path) -> tuple[Unpacked, Unpacked]:
    """A source PEX, unpacked into a directory that is made, and a deps PEX of this sha256, at the same time."""
    with ThreadPoolExecutor(1) as pool:
        unpacking = pool.submit(unpacked_deps, deps, sha256, python)
        return unpack(source, python, directory), unpacking.result()


def kept_environment(place: Path, make: Callable[[Path], object]) -> Path:
    """The virtual environment in a directory of the cache, made by `make` now or kept from an earlier time."""
    venv, stamp = place / "venv", place / "stamp"
    with storage.exclusive(place.with_name(f"{place.name}.lock")):
        if _is_whole(place):
            os.utime(stamp)
            return venv
        shutil.rmtree(place, ignore_errors=True)
        try:
            make(venv)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        with storage.atomic_write(stamp) as stream:
            stream.write(_contents(venv).encode())
    return venv


def interpreter_key(python: Path) -> str:
    """A short name for an interpreter: environments have links to it, so that those of another are others."""
    return hashlib.sha256(os.fsencode(os.path.realpath(python))).hexdigest()[:8]


def _used_last(place: Path) -> Path | None:
    """The environment that was used last of those that have the same interpreter."""
    which = place.name.rpartition("-")[2]
    stamps = sorted(place.parent.glob(f"*-{which}/stamp"), key=lambda stamp: _last_use(stamp.parent))
    return stamps[-1].with_name("venv") if stamps else None


def kept_deps(sha256: str, python: Path) -> Path | None:
    """The directory that a deps PEX was unpacked to, if it is whole."""
    place = _place(sha256, python)
    return place / "venv" if _is_whole(place) else None


def prune() -> None:
    """Remove all but the unpacked deps PEXes that were used last, and what is half-made."""
    directory = storage.cache_directory() / "verify" / "deps"
    places = sorted((path for path in directory.glob("*/")), key=_last_use, reverse=True)
    for place in places[_KEPT:]:
        if time.time() - _last_use(place) > _IN_USE:
            with storage.exclusive(place.with_suffix(".lock")):
                shutil.rmtree(place, ignore_errors=True)


def _place(sha256: str, python: Path) -> Path:
    return storage.cache_directory() / "verify" / "deps" / f"{sha256[:32]}-{interpreter_key(python)}"


def _last_use(place: Path) -> float:
    try:
        return (place / "stamp").stat().st_mtime
    except OSError:
        return place.stat().st_mtime if place.exists() else 0.0


def _is_whole(place: Path) -> bool:
    try:
        return (place / "stamp").read_text(encoding="utf-8") == _contents(place / "venv")
    except OSError:
        return False


def _contents(venv: Path) -> str:
    """The sha256 over names and sizes of all files but bytecode, which comes with use."""
    entries = sorted(_entries(str(venv), ""))
    return hashlib.sha256("\n".join(entries).encode(errors="surrogateescape")).hexdigest()


def _entries(directory: str, prefix: str) -> Iterator[str]:
    with os.scandir(directory) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _entries(entry.path, f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name} {entry.stat(follow_symlinks=False).st_size}"


def _pex_tools(pex: Path, python: Path, venv: Path, shared: Path | None) -> None:
    with storage.scratch_directory() as pex_root:
        if shared:
            for name in _SHARED:
                (pex_root / name).symlink_to(storage.make_directory(shared / name))
        environment = {
            # The builder's own modules are for another Python perhaps; pex is for any.
            "PYTHONPATH": str(_pex_directory()),
            "PEX_PYTHON_PATH": str(python),
            "PEX_ROOT": str(pex_root),
            "PEX_IGNORE_RCFILES": "true",
        }
        options = ["--collisions-ok", "--non-hermetic-scripts"]
        process.run(
            [python, "-m", "pex.tools", pex, "venv", *options, venv],
            env=process.clean_environment(environment),
        )


def _pex_directory() -> Path:
    spec = importlib.util.find_spec("pex")
    if spec is None or spec.origin is None:
        raise ToolError(
            "pex is missing", remedy=f"Install it: `pip install pex=={PEX_VERSION}`, or use builder.pex"
        )
    return Path(spec.origin).parents[1]
