"""How builder.pex starts: unpack the wheels that this run needs, once per machine, and run a module of them.

builder.pex is a zip file that holds wheels, stored as they are. Those of one target form two groups, `builder`
with its own libraries and pip and pex, and `dagster` with its own; the second is unpacked when one of its modules
is asked for. A group lies in the cache under the identity of its content, so that a new builder.pex never meets
the files of an old one; it takes its name when it is whole, and a damaged one is replaced.

Imported by `__main__.py` after it has made sure that this is a Python of the right version.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn, TypedDict

_INDEX = ".files.json"
_DAMAGED = ".damaged"


class Group(TypedDict):
    """Wheels that are unpacked together.

    identity: of their content; wheels: their names in the archive; modules: the top-level names that ask for them.
    """

    identity: str
    wheels: list[str]
    modules: list[str]


class BootError(Exception):
    """builder.pex cannot be unpacked: why, as one line."""


def start(archive: str, groups: list[Group], arguments: Sequence[str]) -> NoReturn:
    """Run `-m MODULE ARGUMENTS`, or the module `builder` with all arguments, as `python -m` would."""
    module, rest = "builder", list(arguments)
    if rest[:1] == ["-m"] and len(rest) > 1:
        module, rest = rest[1], rest[2:]
    archive = os.path.abspath(archive)
    # Children that need this file, such as the self test's, find it here.
    os.environ["BUILDER_PEX"] = archive
    # Nothing of what else is installed here: a library of another version would be found, or half of it.
    extensions = [entry for entry in sys.path if os.path.basename(entry) == "lib-dynload"]
    sys.path[:] = [os.path.dirname(os.__file__), *extensions]
    first, second = groups
    late = _Late(archive, second)
    try:
        sys.path.insert(0, unpacked(archive, first))
        if module.partition(".")[0] in second["modules"]:
            late.unpack()
    except BootError as error:
        sys.exit(f"builder.pex: {error}")
    sys.meta_path.append(late)
    if not _exists(module):
        sys.exit(f"builder.pex: it holds no module `{module}`")
    import runpy  # noqa: PLC0415  (start-up time)

    sys.argv[1:] = rest
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)


class _Late:
    """Unpacks a group when something imports a module of it."""

    def __init__(self, archive: str, group: Group) -> None:
        self._archive = archive
        self._group = group
        self._done = False

    def unpack(self) -> None:
        if not self._done:
            self._done = True
            sys.path.insert(1, unpacked(self._archive, self._group))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by the import system when nothing else has found the module."""
        if path is not None or self._done or name not in self._group["modules"]:
            return None
        self.unpack()
        return PathFinder.find_spec(name)


def unpacked(archive: str, group: Group) -> str:
    """The directory that holds a group's files, unpacked now if need be; raises BootError."""
    why = ""
    for place in caches():
        directory = os.path.join(place, "boot", group["identity"])
        try:
            if not _is_whole(directory):
                _unpack(archive, group["wheels"], directory)
        except OSError as error:
            why = why or f"{place}: {error.strerror}"
        else:
            return directory
    message = f"no room to unpack it, set BUILDER_CACHE_DIR to a writable directory ({why})"
    raise BootError(message)


def caches() -> Iterator[str]:
    """Directories for what can be made again, best first; the first is that of `storage.cache_directory`."""
    configured = os.environ.get("BUILDER_CACHE_DIR")
    home = os.path.expanduser("~")
    if configured:
        yield os.path.abspath(configured)
    elif sys.platform == "darwin":
        yield os.path.join(home, "Library", "Caches", "dagster-builder")
    else:
        yield os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "dagster-builder")
    shared = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  (the owner is checked below)
    temporary = os.path.join(shared, f"dagster-builder-{os.getuid()}")
    with contextlib.suppress(OSError):
        os.makedirs(temporary, mode=0o700, exist_ok=True)
        status = os.lstat(temporary)
        # Others may have made it, in a directory that everybody can write to.
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            yield temporary


def _is_whole(directory: str) -> bool:
    """Whether every file is there in its full size: disks fill up, cleaners of temporary files come by."""
    try:
        with open(os.path.join(directory, _INDEX), encoding="utf-8") as stream:
            sizes: dict[str, int] = json.load(stream)
        return all(os.stat(f"{directory}/{name}").st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _unpack(archive: str, wheels: Sequence[str], directory: str) -> None:
    """Unpack wheels side by side into a neighbour of `directory`, which then takes its name."""
    import shutil  # noqa: PLC0415  (start-up time)
    import tempfile  # noqa: PLC0415
    import zlib  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415
    from io import BytesIO  # noqa: PLC0415
    from zipfile import BadZipFile, ZipFile  # noqa: PLC0415

    def unpack(wheel: str) -> dict[str, int]:
        with ZipFile(BytesIO(outer.read(wheel))) as inner:
            inner.extractall(temporary)
            return {info.filename: info.file_size for info in inner.infolist() if not info.is_dir()}

    os.makedirs(os.path.dirname(directory), exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".builder-tmp-", dir=os.path.dirname(directory))
    try:
        with ZipFile(archive) as outer, ThreadPoolExecutor(2) as pool:
            sizes = {name: size for part in pool.map(unpack, wheels) for name, size in part.items()}
        with open(os.path.join(temporary, _INDEX), "w", encoding="utf-8") as stream:
            json.dump(sizes, stream)
        os.chmod(temporary, 0o755)  # noqa: S103  (of use to other users too, as the caller's umask has the files)
        _rename(temporary, directory)
    except (BadZipFile, zlib.error) as error:
        message = f"the file is damaged, fetch it again ({error})"
        raise BootError(message) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary + _DAMAGED, ignore_errors=True)


def _rename(whole: str, directory: str) -> None:
    """Give a finished directory its name, unless another start was faster; what lies there damaged gives way."""
    while True:
        try:
            os.rename(whole, directory)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
        if _is_whole(directory):
            return
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, whole + _DAMAGED)


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            return False
        raise
