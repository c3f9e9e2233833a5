"""Unpacking PEX files into virtual environments as the receiving server does.

The server runs `pex-tools` (`dagster_cloud/pex/grpc/server/registry.py`); for PEX files of this builder, the
module `venv` produces the same result. The option `--pip`, which takes most of the server's time, is omitted.
Unpacked deps PEX files are kept in the cache, in `verify/deps`:

    SHA256-PYTHON/venv      the environment; the name has the file's hash and a hash of the interpreter's path
                  stamp     written last, with a hash of the contents; its modification time is the last use
"""

from __future__ import annotations

import contextlib
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
"""How many unpacked deps PEX files are kept; each has some hundred megabytes."""

_IN_USE: Final = 3600.0
"""Seconds after the last use in which an entry is not removed, since another run may be using it."""

_SHARED: Final = ("bootstraps", "interpreters", "isolated")
"""Directories of pex's cache that are shared between runs; they save two thirds of a source PEX's unpacking."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A PEX file that was unpacked into a virtual environment."""

    venv: Path

    @property
    def site_packages(self) -> Path:
        """The environment's site-packages directory."""
        (directory,) = (self.venv / "lib").glob("python*/site-packages")
        return directory

    @property
    def bin(self) -> Path:
        """The environment's directory of programs."""
        return self.venv / "bin"

    @property
    def entry_point(self) -> Path:
        """The environment's program `pex`, which runs modules."""
        return self.venv / "pex"


def unpack(pex: Path, python: Path, venv: Path, like: Path | None = None) -> Unpacked:
    """Unpack a PEX file into the new directory `venv`; raises LoadError if `pex-tools` fails.

    :param like: another environment that may have some of its wheels, to link files from.
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
    """The Python version of a PEX file; None if it is not known, and pex-tools has to handle the file."""
    try:
        return python_version_of(pex)
    except LoadError:
        return None


def skeleton(python: Path, version: str) -> Path:
    """The environment that pex-tools makes of an empty PEX file for an interpreter, from the cache."""

    def make(venv: Path) -> None:
        with storage.scratch_directory() as scratch:
            empty = assemble_source_pex([], python_version=version, out_dir=scratch).artefact.path
            unpack_with_pex_tools(empty, python, venv)

    name = f"{PEX_VERSION}-{interpreter_key(python)}"
    return kept_environment(storage.cache_directory() / "verify" / "skeletons" / name, make)


def unpack_with_pex_tools(pex: Path, python: Path, venv: Path) -> Unpacked:
    """Unpack a PEX file of any builder, ten times slower than `unpack`."""
    shared = storage.make_directory(storage.cache_directory() / "verify" / "pex")
    try:
        _pex_tools(pex, python, venv, shared)
    except process.ProcessFailed:
        # pex's cache may be damaged, which pex does not check: remove it and try again.
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
    """Get an unpacked deps PEX from the cache, or unpack it; raises LoadError if that fails.

    :param sha256: of the file, which need not exist if it is unpacked in the cache.
    """
    place = _cache_directory(sha256, python)
    return Unpacked(kept_environment(place, lambda venv: unpack(pex, python, venv, _used_last(place))))


def unpack_both(source: Path, directory: Path, deps: Path, sha256: str, python: Path) -> tuple[Unpacked, Unpacked]:
    """Unpack a source PEX into a new directory and, in parallel, get the unpacked deps PEX with this sha256."""
    with ThreadPoolExecutor(1) as pool:
        unpacking = pool.submit(unpacked_deps, deps, sha256, python)
        return unpack(source, python, directory), unpacking.result()


def kept_environment(place: Path, make: Callable[[Path], object]) -> Path:
    """Get a virtual environment from its directory in the cache, or create it there with `make`."""
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
    """A short hash of an interpreter's path, for cache names: environments contain links to their interpreter."""
    return hashlib.sha256(os.fsencode(os.path.realpath(python))).hexdigest()[:8]


def _used_last(place: Path) -> Path | None:
    """The most recently used environment with the same interpreter, if none of its files is damaged."""
    which = place.name.rpartition("-")[2]
    stamps = sorted(place.parent.glob(f"*-{which}/stamp"), key=lambda stamp: _last_use(stamp.parent))
    return stamps[-1].with_name("venv") if stamps and _is_whole(stamps[-1].parent) else None


def kept_deps(sha256: str, python: Path) -> Path | None:
    """The directory of a deps PEX in the cache, if it is there and complete."""
    place = _cache_directory(sha256, python)
    return place / "venv" if _is_whole(place) else None


def prune() -> None:
    """Remove incomplete entries, and all unpacked deps PEX files but the most recently used."""
    directory = storage.cache_directory() / "verify" / "deps"
    places = sorted((path for path in directory.glob("*/")), key=_last_use, reverse=True)
    for place in places[_KEPT:]:
        if time.time() - _last_use(place) > _IN_USE:
            with storage.exclusive(place.with_suffix(".lock")):
                shutil.rmtree(place, ignore_errors=True)


def _cache_directory(sha256: str, python: Path) -> Path:
    return storage.cache_directory() / "verify" / "deps" / f"{sha256[:32]}-{interpreter_key(python)}"


def _last_use(place: Path) -> float:
    try:
        return (place / "stamp").stat().st_mtime
    except OSError:
        return place.stat().st_mtime if place.exists() else 0.0


def _is_whole(place: Path) -> bool:
    if place in _whole:
        return True
    try:
        whole = (place / "stamp").read_text(encoding="utf-8") == _contents(place / "venv")
    except OSError:
        return False
    if whole and _lasting:
        _whole.add(place)
    return whole


_whole: set[Path] = set()
_lasting: list[object] = []
"""What was found whole, and the runs during which that is remembered."""


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """During this, an environment of the cache that was found whole is not looked through again until `forget`."""
    _lasting.append(None)
    try:
        yield
    finally:
        _lasting.pop()
        forget()


def forget() -> None:
    """Look again from now on, because code of a project has run, which may have written anywhere."""
    _whole.clear()


def _contents(venv: Path) -> str:
    """The sha256 of names, sizes and times of change of all files, except bytecode, which is written on use."""
    entries = sorted(_entries(str(venv), ""))
    return hashlib.sha256("\n".join(entries).encode(errors="surrogateescape")).hexdigest()


def _entries(directory: str, prefix: str) -> Iterator[str]:
    with os.scandir(directory) as listing:
        for entry in listing:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _entries(entry.path, f"{prefix}{entry.name}/")
            else:
                status = entry.stat(follow_symlinks=False)
                yield f"{prefix}{entry.name} {status.st_size} {status.st_mtime_ns}"


def _pex_tools(pex: Path, python: Path, venv: Path, shared: Path | None) -> None:
    with storage.scratch_directory() as pex_root:
        if shared:
            for name in _SHARED:
                (pex_root / name).symlink_to(storage.make_directory(shared / name))
        environment = {
            # Only pex on the path: the builder's other modules may not support this Python, pex supports any.
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
