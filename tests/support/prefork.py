"""A program that has imported the builder once, and forks for each command that is to be run.

Most of the time of a short command goes into imports. A command that is run here is a process like any other, with
its own environment, directory, umask, signals and exit code, but begins with the modules already imported.

Requests come through the socket whose file descriptor is the one argument: a JSON object with `module`,
`arguments`, `environment`, `directory` and `umask`, and with it four file descriptors, for stdin, stdout, stderr
and the answer. The answer is the pid and, at the end, the exit code as `Popen.returncode` has it, each a line.
`tests.support.programs` is the other side.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import sys
import threading
from typing import Any, NoReturn

import builder
from builder.system import process

_START_DIRECTORY = sys.path[0]
"""What `python -m` puts first; libraries that are imported later may put something before it."""

_SCRIPTS = {"builder.packages.images.verify_import"}
"""Modules that are run in other places and cannot be imported."""

_LIBRARIES = (
    *(
        "httpx",
        "httpcore",
        "httpx._transports.default",
        "packaging.requirements",
        "packaging.metadata",
        "packaging.tags",
    ),
    *("packaging.pylock", "pathspec", "yaml", "tomli_w", "rich.progress", "rich.live", "ssl", "certifi"),
    *("pip._internal.req.req_file", "pip._internal.configuration", "pip._internal.models.index"),
)
"""What commands import when they need it."""

_PAUSE_FACTOR = 0.05
"""Every pause of the builder waits for `process.stopping`, so that a signal ends it."""

_MOST_BYTES = 1 << 20
_HIGHEST_DESCRIPTOR = 4096


class _Impatient(threading.Event):
    """Ends a pause, between two tries or two polls, after a fraction of its time."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(timeout and timeout * _PAUSE_FACTOR)


def preload() -> None:
    """Import what commands import; not the commands themselves, which run as `__main__`."""
    process.stopping = _Impatient()
    for module in pkgutil.walk_packages(builder.__path__, "builder."):
        command = module.name.endswith(".__main__") or (module.name.count(".") == 1 and not module.ispkg)
        if not command and module.name not in _SCRIPTS:
            importlib.import_module(module.name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()


def wait_for_request(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request until the socket is closed; returns, in each fork, what it is to do."""
    answers: dict[int, tuple[int, int]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in answers:
                    selector.unregister(key.fd)
                    pid, answer = answers.pop(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    tell(answer, os.waitstatus_to_exitcode(status))
                    os.close(answer)
                    continue
                message, descriptors, _flags, _address = socket.recv_fds(control, _MOST_BYTES, 4)
                if not message:
                    sys.exit()
                pid = os.fork()
                if not pid:
                    return json.loads(message), descriptors
                *standard, answer = descriptors
                for descriptor in standard:
                    os.close(descriptor)
                tell(answer, pid)
                watched = os.pidfd_open(pid)
                answers[watched] = (pid, answer)
                selector.register(watched, selectors.EVENT_READ)


def tell(answer: int, number: int) -> None:
    # Whoever asked may have gone.
    with contextlib.suppress(BrokenPipeError):
        os.write(answer, f"{number}\n".encode())


def become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make of this fork what a new process would be."""
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    os.closerange(3, _HIGHEST_DESCRIPTOR)
    # Python sets this itself where the locale is C.
    coerced = {name: os.environ[name] for name in ("LC_CTYPE",) if name in os.environ}
    os.environ.clear()
    os.environ.update({**coerced, **request["environment"]})
    os.chdir(request["directory"])
    if request["umask"] >= 0:
        os.umask(request["umask"])
    sys.path[sys.path.index(_START_DIRECTORY)] = request["directory"]
    sys.argv[:] = [request["module"], *request["arguments"]]


def run(module: str) -> int:
    """Run a module as `python -m` does; returns the exit code."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  (what Python itself shows)
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End as Python does, but without the taking apart of every module, which takes longer than the command."""
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    preload()
    request, descriptors = wait_for_request(socket.socket(fileno=int(sys.argv[1])))
    become(request, descriptors)
    end(run(request["module"]))


if __name__ == "__main__":
    main()
