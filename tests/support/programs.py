"""Starting the builder's commands as programs, forked from one that has imported what they need."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

REPOSITORY = Path(__file__).parents[2]

_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "TZ", "MALLOC_", "LD_")
"""Variables that are read when a process begins."""


class Program(Protocol):
    """A process that was started: what `subprocess.Popen` has and tests use."""

    pid: int
    stdout: IO[str] | None
    stderr: IO[str] | None
    returncode: int | None

    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, str]: ...  # noqa: A002


def start(
    module: str,
    *arguments: str | Path,
    environment: Mapping[str, str],
    directory: Path,
    umask: int = -1,
) -> Program:
    """`python -m module arguments`, with pipes for stdout and stderr and nothing on stdin.

    The process is forked from one that has imported the builder, which takes a fraction of the time; a new
    interpreter is started where the environment asks for another locale, time zone or hash seed.
    """
    words = [str(argument) for argument in arguments]
    settings = _settings(environment)
    usual = environment.get("PYTHONPATH") == str(REPOSITORY) and settings in (frozenset(), _settings(os.environ))
    if not usual:
        return start_anew([sys.executable, "-m", module, *words], environment, directory, umask)
    return _prefork(settings).start(module, words, environment, directory, umask)


def start_anew(
    argv: Sequence[str | Path], environment: Mapping[str, str], directory: Path, umask: int = -1
) -> Program:
    """A program with pipes for stdout and stderr and nothing on stdin."""
    return subprocess.Popen(
        argv,
        env=environment,
        cwd=directory,
        umask=umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def _settings(environment: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(
        item for item in environment.items() if item[0].startswith(_OF_THE_INTERPRETER) and item[0] != "PYTHONPATH"
    )


@functools.cache
def _prefork(settings: frozenset[tuple[str, str]]) -> _Prefork:
    return _Prefork(settings)


class _Prefork:
    """The process that forks; it ends with this one."""

    def __init__(self, settings: frozenset[tuple[str, str]]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.prefork", str(theirs.fileno())],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **dict(settings)},
                cwd=REPOSITORY,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.wait()

    def start(
        self, module: str, arguments: list[str], environment: Mapping[str, str], directory: Path, umask: int
    ) -> _Forked:
        request = {
            "module": module,
            "arguments": arguments,
            "environment": dict(environment),
            "directory": str(directory),
            "umask": umask,
        }
        with contextlib.ExitStack() as stack:
            ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for descriptor in (*theirs, nothing):
                stack.callback(os.close, descriptor)
            with self._lock:
                socket.send_fds(self._control, [json.dumps(request).encode()], [nothing, *theirs])
        return _Forked(*ours)


class _Forked:
    """A process that `_Prefork` has forked."""

    def __init__(self, stdout: int, stderr: int, answer: int) -> None:
        self.stdout: IO[str] | None = open(stdout, encoding="utf-8")  # noqa: SIM115  (descriptors)
        self.stderr: IO[str] | None = open(stderr, encoding="utf-8")  # noqa: SIM115
        self._answer = open(answer, encoding="ascii")  # noqa: SIM115
        self._written: dict[int, str] = {}
        self._readers: list[threading.Thread] = []
        first = self._answer.readline()
        assert first, "the process that forks has ended: what it wrote is on stderr"
        self.pid = int(first)
        self.returncode: int | None = None

    def __del__(self) -> None:
        for stream in (self.stdout, self.stderr, self._answer):
            if stream:
                stream.close()

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answer, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._answer.readline())
        return self.returncode

    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002
        assert input is None
        streams = (self.stdout, self.stderr)
        if not self._readers:
            self._readers = [threading.Thread(target=self._read, args=(index,), daemon=True) for index in range(2)]
            for reader in self._readers:
                reader.start()
        ending = None if timeout is None else time.monotonic() + timeout
        for reader in self._readers:
            reader.join(None if ending is None else max(0.0, ending - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        self.wait(None if ending is None else max(0.0, ending - time.monotonic()))
        for stream in streams:
            if stream:
                stream.close()
        return self._written[0], self._written[1]

    def _read(self, index: int) -> None:
        stream = (self.stdout, self.stderr)[index]
        assert stream
        self._written[index] = stream.read()
