"""Running programs in process groups, with captured output, time limits, and without secrets."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import ToolError
from builder.system.secret_variables import held_back

_INSTALLERS: Final = re.compile(r"PIP_|(HTTPS?|ALL|FTP|NO)_PROXY$|NETRC$", re.IGNORECASE)
"""Variables that configure package indexes, with their credentials."""

_CREDENTIAL_PROGRAMS_LACK: Final = re.compile(r"(DAGSTER_CLOUD|DAGSTER_PLUS|GITHUB|ACTIONS|GITLAB|CI)_")

_USERS_ACCESS: Final = re.compile(r"SSH_AUTH_SOCK|SSH_ASKPASS|GIT_ASKPASS|GIT_SSH|GIT_SSH_COMMAND|GIT_CONFIG_\w+")

_PYTHONS: Final = re.compile(r"(PYTHON|PEX_|__PEX).*|VIRTUAL_ENV|CONDA_PREFIX")
"""Removed for every child: the caller's virtual environment must not affect another interpreter."""

_DRAIN_SECONDS: Final = 1.0
"""Seconds for reading the remaining output of a killed program."""

_NEUTRAL: Final = Path("/dev")
"""The default working directory of a child: it always exists, and has no modules or settings."""

PASS_ENV: Final = "BUILDER_PASS_ENV"  # noqa: S105  (it names no password)
"""The variable with the names of secrets to pass to the project's code, separated by spaces or commas."""

_given: dict[str, str] = {}

_children: set[subprocess.Popen[str]] = set()
_children_lock = threading.RLock()
"""Re-entrant, since a signal may arrive while the main thread holds it."""

stopping = threading.Event()
"""Set when the builder is stopped: threads start nothing new, and transfers end at the next chunk."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished program."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


class ProcessFailed(ToolError):
    """A program ended with an exit code other than 0, or was killed at its time limit (`code` is None)."""

    def __init__(self, argv: Sequence[str], code: int | None, stdout: str, stderr: str) -> None:
        ending = "took too long" if code is None else f"failed with exit code {code}"
        super().__init__(f"`{Path(argv[0]).name}` {ending}", detail=(stderr.strip() or stdout.strip()) or None)
        self.argv = tuple(argv)
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def tail(self, lines: int = 15) -> str:
        """The last lines of stderr or, if that is empty, of stdout; they usually have the cause."""
        text = self.stderr.strip() or self.stdout.strip() or self.what
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


class Started:
    """A running program, which may be waiting for its standard input."""

    def __init__(self, argv: Sequence[str], child: subprocess.Popen[str]) -> None:
        self._argv = tuple(argv)
        self._child = child

    def finish(
        self, stdin: str = "", *, timeout: float | None = None, check: bool = True, whole_group: bool = False
    ) -> Finished:
        """Pass the standard input, wait for the end, and return the output; see `run`."""
        child = self._child
        try:
            stdout, stderr = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(child)
            stdout, stderr = child.communicate()
            raise ProcessFailed(self._argv, None, stdout, stderr) from None
        except BaseException:
            _kill(child)
            child.wait()
            raise
        finally:
            with _children_lock:
                _children.discard(child)
        if whole_group:
            _kill(child)
        if check and child.returncode != 0:
            raise ProcessFailed(self._argv, child.returncode, stdout, stderr)
        return Finished(self._argv, child.returncode, stdout, stderr)

    def discard(self) -> None:
        """Kill the program and its process group."""
        _kill(self._child)
        self._child.communicate()
        with _children_lock:
            _children.discard(self._child)


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Started:
    """Start a program in a process group of its own; raises ToolError if that is impossible. See `run`."""
    words = [os.fspath(word) for word in argv]
    return Started(words, _started(words, env, cwd, pass_fds=pass_fds))


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float | None = None,
    stdin: str = "",
    check: bool = True,
    whole_group: bool = False,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run a program to its end and return its output.

    :param pass_fds: file descriptors that the program inherits.
    :param cwd: by default a directory without modules or settings that could affect the program.

    The program runs in its own process group, which is killed at the time limit (seconds) or when the builder is
    interrupted; with `whole_group` also when the program ends, since it may leave other processes running. Raises
    ToolError if the program cannot be started, ProcessFailed if `check` is true and it fails.
    """
    started = start(argv, env=env, cwd=cwd, pass_fds=pass_fds)
    return started.finish(stdin, timeout=timeout, check=check, whole_group=whole_group)


class Service:
    """A program that runs until it is stopped."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    @property
    def code(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it runs."""
        return self._child.poll()


@contextlib.contextmanager
def serving(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    heard: Callable[[str], None],
) -> Iterator[Service]:
    """Run a program during the context; afterwards its process group is killed.

    :param heard: called from a thread with each line of stdout or stderr.

    Raises ToolError if it cannot be started.
    """
    words = [os.fspath(word) for word in argv]
    child = _started(words, env, cwd, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    listener = threading.Thread(target=_listen, args=(child, heard), daemon=True)
    try:
        listener.start()
        yield Service(child)
    finally:
        _kill(child)
        child.wait()
        # Processes that left the process group may keep the pipe open, so the wait is limited.
        listener.join(_DRAIN_SECONDS)
        with _children_lock:
            _children.discard(child)


def _listen(child: subprocess.Popen[str], heard: Callable[[str], None]) -> None:
    assert child.stdout is not None  # noqa: S101  (it was started with a pipe)
    with child.stdout as stream:
        for line in stream:
            heard(line.rstrip("\r\n"))


def _started(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path | None,
    *,
    stdin: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[str]:
    if trace := _trace:
        # Of a program given as text (`python -c TEXT`) the first line is enough to know it.
        trace(shlex.join(f"{word.splitlines()[0]} …" if "\n" in word else word for word in argv))
    outcome: list[subprocess.Popen[str] | Exception] = []

    def begin() -> None:
        try:
            child = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd or _NEUTRAL,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except (OSError, ValueError) as error:
            outcome.append(error)
            return
        with _children_lock:
            _children.add(child)
        if stopping.is_set():
            _kill(child)
        outcome.append(child)

    # In a separate thread: a signal interrupts the main thread, and must not do so between the start of a program
    # and its registration for being killed. Not in a pool, whose import takes a tenth of the time of `--help`.
    starter = threading.Thread(target=begin)
    starter.start()
    try:
        starter.join()
    finally:
        starter.join()
    if isinstance(outcome[0], OSError):
        error = outcome[0]
        what = f"could not start `{argv[0]}`: {os.strerror(error.errno) if error.errno else error}"
        raise ToolError(what) from error
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def run_module(module: str, arguments: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str]) -> Finished:
    """Run a module of the builder's own Python, such as the bundled `pip` or `pex`, as a program."""
    # Inside builder.pex the modules are found through sys.path only, which a child does not inherit.
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path if entry)  # noqa: PTH100  (no Path needed)
    # -P: do not import a `pip.py` in the working directory.
    return run([sys.executable, "-P", "-m", module, *arguments], env={**env, "PYTHONPATH": path})


def clean_environment(extra: Mapping[str, str] | None = None, *, allowed: bool = True) -> dict[str, str]:
    """The caller's environment without secrets, for all project code, including builds.

    It has ordinary variables, so that `BUILD_VERSION=2.0` reaches a setup.py, and variables that the user allowed
    (`allow`, `BUILDER_PASS_ENV`). It lacks the variables that `secret_variables` considers secrets, the
    credentials of package indexes, and Python's own variables.

    :param allowed: whether to include the variables that the user allowed; false for programs that expand
        variables in texts of the project.
    """
    secret = held_back(os.environ)
    kept = {
        name: value for name, value in os.environ.items() if name not in secret and not _PYTHONS.fullmatch(name)
    }
    return {**kept, **(_allowed() if allowed else {}), **(extra or {})}


def installer_environment() -> dict[str, str]:
    """`clean_environment` and the index settings with credentials, for the bundled pip."""
    sources = {name: value for name, value in os.environ.items() if _INSTALLERS.match(name)}
    return {**clean_environment(), **sources}


def credential_environment() -> dict[str, str]:
    """The environment without Dagster Cloud's and CI's secrets, for credential programs (keyring, docker)."""
    withheld = {name for name in held_back(os.environ) if _CREDENTIAL_PROGRAMS_LACK.match(name)}
    return {name: value for name, value in os.environ.items() if name not in withheld}


def users_access() -> dict[str, str]:
    """Variables that give git access to private repositories: settings, ssh agent, askpass programs."""
    return {name: value for name, value in os.environ.items() if _USERS_ACCESS.fullmatch(name)}


def allow(variables: Mapping[str, str]) -> None:
    """Pass these variables to project code, even if they look like secrets (`--env`)."""
    _given.update(variables)


def is_allowed(name: str) -> bool:
    """Whether the user allowed a variable with `--env` or in `BUILDER_PASS_ENV`."""
    return name in _allowed()


def _allowed() -> dict[str, str]:
    named = re.split(r"[\s,]+", os.environ.get(PASS_ENV, ""))
    return {**{name: os.environ[name] for name in named if name in os.environ}, **_given}


def stop_everything() -> None:
    """Kill every running program and prevent new ones, because the builder is being stopped."""
    stopping.set()
    end_programs()


def end_programs() -> None:
    """Kill every running program, because nobody needs its result any more."""
    with _children_lock:
        children = list(_children)
    for child in children:
        _kill(child)


def trace_commands(trace: Callable[[str], None]) -> None:
    """Pass each command line to `trace` before it runs (`--verbose`)."""
    global _trace  # noqa: PLW0603  (set once, at the command)
    _trace = trace


_trace: Callable[[str], None] | None = None


def _kill(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
