"""How builder.pex starts: unpack the wheels that this run needs, once per machine, and run a module of them.

builder.pex is a zip file that holds wheels, stored as they are. Those of one target form two groups, `builder`
with its own libraries and pip and pex, and `dagster` with its own; the second is unpacked when one of its modules
is asked for. A group lies in the cache under the identity of its content, so that a new builder.pex never meets
the files of an old one; it takes its name when it is whole. Each start compares sizes and times of its files,
and the content where the time differs; a run that fails for an unforeseen reason compares all contents. A damaged
group is replaced.

Imported by `__main__.py` after it has made sure that this is a Python of the right version.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import NoReturn, TypedDict

_INDEX = ".files.json"
_DAMAGED = ".damaged"
_TEMPORARY = ".builder-tmp-"
_HEALED = "BUILDER_PEX_HEALED"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEFTOVER_SECONDS = 86400
_USED_SECONDS = 600


class Group(TypedDict):
    """Wheels that are unpacked together.

    identity: of their content; wheels: their names in the archive; modules: the top-level names that ask for them.
    """

    identity: str
    wheels: list[str]
    modules: list[str]


_in_use: list[tuple[str, Group, str]] = []
"""The groups of this run, each with its archive and its directory."""


class BootError(Exception):
    """builder.pex cannot be unpacked: why, as one line."""


_may_restart = os.environ.pop(_HEALED, None) is None
"""Whether this run is not a second one already."""


def start(archive: str, groups: list[Group], arguments: Sequence[str]) -> NoReturn:
    """Run `-m MODULE ARGUMENTS`, or the module `builder` with all arguments, as `python -m` would."""
    _exit_on_signals()
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
    if module.partition(".")[0] != "builder":
        _leave_signals_alone()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:
        restart_if_damaged()
        raise
    sys.exit(0)


def _exit_on_signals() -> None:
    """Have a signal end the process as an exception does, so that nothing half-unpacked stays behind."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    for number in _SIGNALS:
        # Whoever started this under `nohup` does not want it to end.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _leave_signals_alone() -> None:
    """Undo `_exit_on_signals`, for programs that expect what Python does by itself."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def restart_if_damaged() -> None:
    """Compare all unpacked files with what builder.pex holds; where one differs, unpack anew and run again, once.

    Returns if nothing is damaged. Called when a run failed for a reason that nobody foresaw.
    """
    if not _may_restart:
        return
    damaged = False
    for archive, group, directory in _in_use:
        if not _is_whole(directory, every_content=True) or _broken_bytecode(directory):
            damaged = True
            with contextlib.suppress(OSError, BootError):
                _unpack(archive, group["wheels"], directory, replace=True)
    if damaged:
        sys.stderr.write("builder.pex: damaged files in the cache were replaced; running again\n")
        sys.stderr.flush()
        os.environ[_HEALED] = "1"
        # With Python's variables: the secrets among the C library's are blanked by then.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ)  # noqa: S606  (this very program)


def _broken_bytecode(directory: str) -> bool:
    """Whether Python keeps bytecode of a file that is not what the file's source compiles to."""
    import marshal  # noqa: PLC0415  (only after a failure)
    from importlib.util import cache_from_source  # noqa: PLC0415

    for parent, _directories, names in os.walk(directory):
        for name in names:
            source = os.path.join(parent, name)
            if not name.endswith(".py") or not os.path.exists(cache_from_source(source)):
                continue
            with open(cache_from_source(source), "rb") as stream:
                kept = stream.read()[16:]
            try:
                with open(source, "rb") as stream:
                    same = marshal.loads(kept) == compile(stream.read(), source, "exec", dont_inherit=True)  # noqa: S302  (Python would load it too)
            except (EOFError, ValueError, TypeError, SyntaxError):
                same = False
            if not same:
                return True
    return False


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
            _mark_used(directory)
        except OSError as error:
            why = why or f"{place}: {error.strerror}"
        else:
            _in_use.append((archive, group, directory))
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


def _is_whole(directory: str, *, every_content: bool = False) -> bool:
    """Whether every file is there as it was unpacked: disks fill up, cleaners of temporary files come by.

    Its size and time of change tell; where the time differs, as after the cache was copied, its content does.
    """
    path = os.path.join(directory, _INDEX)
    try:
        with open(path, encoding="utf-8") as stream:
            index: dict[str, list[int]] = json.load(stream)
        touched = []
        for name, (size, checksum, changed) in index.items():
            status = os.stat(f"{directory}/{name}")
            if status.st_size != size:
                return False
            if every_content or status.st_mtime_ns != changed:
                if _checksum(f"{directory}/{name}") != checksum:
                    return False
                touched.append((name, status.st_mtime_ns))
        if touched and not every_content:
            for name, changed in touched:
                index[name][2] = changed
            _write_index(directory, index)
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    return True


def _checksum(path: str) -> int:
    """The checksum that zip files have of a file."""
    import zlib  # noqa: PLC0415  (start-up time)

    with open(path, "rb") as stream:
        return zlib.crc32(stream.read())


def _write_index(directory: str, index: dict[str, list[int]]) -> None:
    """Write sizes, checksums and times of change (ns); others may be reading the old ones."""
    temporary = os.path.join(directory, f"{_INDEX}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(index, stream)
    os.replace(temporary, os.path.join(directory, _INDEX))


def _mark_used(directory: str) -> None:
    """Note the time of the last use, for whoever cleans the cache."""
    path = os.path.join(directory, _INDEX)
    with contextlib.suppress(OSError):
        if time.time() - os.stat(path).st_mtime > _USED_SECONDS:
            os.utime(path)


def _unpack(archive: str, wheels: Sequence[str], directory: str, *, replace: bool = False) -> None:
    """Unpack wheels side by side into a neighbour of `directory`, which then takes its name."""
    import shutil  # noqa: PLC0415  (start-up time)
    import tempfile  # noqa: PLC0415
    import zlib  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415
    from io import BytesIO  # noqa: PLC0415
    from zipfile import BadZipFile, ZipFile  # noqa: PLC0415

    def unpack(wheel: str) -> dict[str, list[int]]:
        with ZipFile(BytesIO(outer.read(wheel))) as inner:
            inner.extractall(temporary)
            return {
                info.filename: [info.file_size, info.CRC, os.stat(f"{temporary}/{info.filename}").st_mtime_ns]
                for info in inner.infolist()
                if not info.is_dir()
            }

    parent = os.path.dirname(directory)
    os.makedirs(parent, exist_ok=True)
    _remove_leftovers(parent)
    temporary = tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent)
    try:
        with ZipFile(archive) as outer, ThreadPoolExecutor(2) as pool:
            index = {name: facts for part in pool.map(unpack, wheels) for name, facts in part.items()}
        _write_index(temporary, index)
        os.chmod(temporary, 0o755)  # noqa: S103  (of use to other users too, as the caller's umask has the files)
        if replace:
            with contextlib.suppress(FileNotFoundError):
                os.rename(directory, temporary + _DAMAGED)
        _rename(temporary, directory)
    except (BadZipFile, zlib.error) as error:
        message = f"the file is damaged, fetch it again ({error})"
        raise BootError(message) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary + _DAMAGED, ignore_errors=True)


def _remove_leftovers(parent: str) -> None:
    """Remove what a start left that was killed: it is a day old, and no start takes that long."""
    import shutil  # noqa: PLC0415  (start-up time)

    with os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_TEMPORARY) and time.time() - entry.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)


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
