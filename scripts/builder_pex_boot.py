"""The start of builder.pex: unpack the wheels that a run needs, once per machine, and run a module.

builder.pex is a zip file of wheels. The wheels of one target form two groups: `builder` with its libraries, pip
and pex; and `dagster` with its libraries, which is unpacked when one of its modules is imported. A group is cached
under a hash of its content, so that builder.pex files with other wheels never use its files, and gets its final
name when complete. Each start compares the files' sizes and modification times, and the content if the time
differs; a run that fails for an unexpected reason compares all contents. A damaged group is replaced.

Imported by `__main__.py` after it has checked the version of Python.
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


Place = tuple[str, int, int]
"""Where a wheel is: the name of an xz file in the archive, the wheel's offset in its content, and its size."""


class Group(TypedDict):
    """Wheels that are unpacked together.

    identity: a hash of their content; wheels: their names in the archive; streams: the places of others, the
    largest first; modules: their top-level module names.
    """

    identity: str
    wheels: list[str]
    streams: list[Place]
    modules: list[str]


_in_use: list[tuple[str, Group, str]] = []
"""The groups of this run, each with its archive and its directory."""


class BootError(ImportError):
    """builder.pex cannot be unpacked, with the reason in one line."""


_may_restart = os.environ.pop(_HEALED, None) is None
"""Whether this run may restart itself, which a restarted run must not."""


def start(archive: str, groups: list[Group], arguments: Sequence[str]) -> NoReturn:
    """Run `-m MODULE ARGUMENTS`, or the module `builder` with all arguments, as `python -m` would."""
    _exit_on_signals()
    module, rest = "builder", list(arguments)
    if rest[:1] == ["-m"] and len(rest) > 1:
        module, rest = rest[1], rest[2:]
    archive = os.path.abspath(archive)
    # For children that need this file, such as those of the self test.
    os.environ["BUILDER_PEX"] = archive
    # Without this Python's installed packages, which could be other versions of the libraries.
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
    """Make signals end the process with an exception, so that incomplete files are removed."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    for number in _SIGNALS:
        # Ignored signals stay ignored, such as under `nohup`.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Have signals wait: one that comes while a thread starts would leave a thread that nothing waits for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_signals_alone() -> None:
    """Undo `_exit_on_signals`, for programs that expect Python's default handling."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def restart_if_damaged() -> None:
    """Compare all unpacked files with builder.pex; if any differs, unpack again and restart, once.

    Returns if nothing is damaged. Called when a run failed for an unexpected reason.
    """
    if not _may_restart:
        return
    damaged = False
    for archive, group, directory in _in_use:
        if not _is_whole(directory, every_content=True) or _broken_bytecode(directory):
            damaged = True
            with contextlib.suppress(OSError, BootError):
                _unpack(archive, group, directory, replace=True)
    if damaged:
        sys.stderr.write("builder.pex: damaged files in the cache were replaced; running again\n")
        sys.stderr.flush()
        os.environ[_HEALED] = "1"
        # With `os.environ`, since the secrets in the C library's environment have been overwritten.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ)  # noqa: S606  (this very program)


def _broken_bytecode(directory: str) -> bool:
    """Whether any cached bytecode differs from what its source compiles to."""
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
    """An import hook that unpacks a group when one of its modules is imported."""

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
        """Called by the import system if no other finder has found the module."""
        if path is not None or self._done or name not in self._group["modules"]:
            return None
        self.unpack()
        return PathFinder.find_spec(name)


def unpacked(archive: str, group: Group) -> str:
    """The directory with a group's files, which are unpacked if necessary; raises BootError."""
    why = ""
    for place in caches():
        directory = os.path.join(place, "boot", group["identity"])
        try:
            if not _is_whole(directory):
                started = time.monotonic()
                _unpack(archive, group, directory)
                seconds = time.monotonic() - started
                # All seconds of a first run have a line, those before its first step too.
                sys.stderr.write(f"builder.pex: unpacked into its cache, once  {seconds:.2f}s\n")
            _mark_used(directory)
        except OSError as error:
            why = why or f"{place}: {error.strerror}"
        else:
            _in_use.append((archive, group, directory))
            return directory
    message = f"no room to unpack it, set BUILDER_CACHE_DIR to a writable directory ({why})"
    raise BootError(message)


def caches() -> Iterator[str]:
    """Candidates for the cache directory, the best first; the first is that of `storage.cache_directory`."""
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
        # Another user may have created it, since the parent is writable for all.
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            yield temporary


def _is_whole(directory: str, *, every_content: bool = False) -> bool:
    """Whether every unpacked file is unchanged; a full disk or a cleaner of temporary files may damage them.

    Compares size and modification time; if the time differs, as after the cache was copied, the content.
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
    """The CRC-32 of a file, as in zip files."""
    import zlib  # noqa: PLC0415  (start-up time)

    with open(path, "rb") as stream:
        return zlib.crc32(stream.read())


def _write_index(directory: str, index: dict[str, list[int]]) -> None:
    """Write sizes, checksums and modification times (ns), atomically, since other runs may be reading."""
    temporary = os.path.join(directory, f"{_INDEX}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(index, stream)
    os.replace(temporary, os.path.join(directory, _INDEX))


def _mark_used(directory: str) -> None:
    """Record the time of the last use, by which the cache is pruned."""
    path = os.path.join(directory, _INDEX)
    with contextlib.suppress(OSError):
        if time.time() - os.stat(path).st_mtime > _USED_SECONDS:
            os.utime(path)


def _unpack(archive: str, group: Group, directory: str, *, replace: bool = False) -> None:
    """Unpack wheels in parallel into a temporary directory, which is then renamed to `directory`."""
    import shutil  # noqa: PLC0415  (start-up time)
    import tempfile  # noqa: PLC0415
    import zlib  # noqa: PLC0415
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415
    from io import BytesIO  # noqa: PLC0415
    from zipfile import BadZipFile, ZipFile  # noqa: PLC0415

    def content(wheel: str | Place) -> bytes:
        if isinstance(wheel, str):
            return outer.read(wheel)
        name, start, size = wheel
        stream, packed = LZMADecompressor(), outer.read(name)
        if start:
            stream.decompress(packed, max_length=start)
            packed = b""
        return stream.decompress(packed, max_length=size)

    def unpack(wheel: str | Place) -> dict[str, list[int]]:
        with ZipFile(BytesIO(content(wheel))) as inner:
            inner.extractall(temporary)
            return {
                info.filename: [info.file_size, info.CRC, os.stat(f"{temporary}/{info.filename}").st_mtime_ns]
                for info in inner.infolist()
                if not info.is_dir()
            }

    wheels: list[str | Place] = [*group["streams"], *group["wheels"]]
    if group["streams"]:
        try:
            from lzma import LZMADecompressor  # noqa: PLC0415  (not every Python has it, nor needs it)
        except ImportError:
            message = f"this part of it needs the module lzma, which {sys.executable} was built without"
            raise BootError(message) from None
    parent = os.path.dirname(directory)
    os.makedirs(parent, exist_ok=True)
    _remove_leftovers(parent)
    temporary = tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent)
    try:
        with ZipFile(archive) as outer, ThreadPoolExecutor(2) as pool:
            with _signals_held():
                parts = pool.map(unpack, wheels)
            index = {name: facts for part in parts for name, facts in part.items()}
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
    """Remove temporary directories of killed starts: those older than a day, since no start takes that long."""
    import shutil  # noqa: PLC0415  (start-up time)

    with os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_TEMPORARY) and time.time() - entry.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)


def _rename(whole: str, directory: str) -> None:
    """Rename a complete directory, unless another start was faster; an existing damaged one is replaced."""
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
