"""Running a command to its exit code: errors, signals and verbosity."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, NoReturn

import click

from builder import __version__
from builder.errors import BuilderError, Interrupted
from builder.system import process, temporaries
from builder.system.own_environment import hide_secrets
from builder.terminal.command_line import OUTPUT, option
from builder.terminal.console import OUTPUT_WAIT_SECONDS, console

_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[int] = []
"""The signals that have arrived."""

_interrupt_actions: list[Callable[[], None]] = []
"""Actions to run as soon as a signal arrives."""

_serving = threading.Event()
"""Set while a server runs: a signal is then the normal end, with exit code 0."""

_last_word: Final = threading.Lock()
_said: Final = threading.Event()
"""Set once it is said, under that lock, that the command was stopped."""

_CLEANUP_SECONDS: Final = 2.0
"""Seconds that cleaning up may take after a signal."""


def verbosity_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command the options `--verbose` and `--quiet`."""

    def choose(context: click.Context, chosen: click.Parameter, value: bool) -> None:  # noqa: FBT001
        if not value:
            return
        if console.verbose or console.quiet:
            raise click.UsageError("--verbose and --quiet contradict each other", context)
        if chosen.name == "verbose":
            console.be_verbose()
        else:
            console.be_quiet()

    for name, text in (
        ("--quiet", "Show only warnings, errors and results."),
        ("--verbose", "Echo each program that is run; show tracebacks."),
    ):
        command = option(
            OUTPUT, name, is_flag=True, expose_value=False, is_eager=True, callback=choose, help=text
        )(command)
    return command


def run_command(command: click.Command, module: str) -> NoReturn:
    """Run a command to its exit code: the one place where errors are shown.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n before `exit_zero_on_signal`.
    """
    # What is imported lives to the end: walking through it again and again takes a tenth of an import.
    gc.set_threshold(50_000, 50, 100)
    notes, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_force_exit, args=(notes,), daemon=True).start()
    for number in _STOPPING:
        signal.signal(number, _interrupt)
    # Where Python cannot raise, such as in the callback of a weak reference, it would show a traceback.
    sys.unraisablehook = lambda what: None if what.exc_type is Interrupted else sys.__unraisablehook__(what)
    code = 0
    with contextlib.suppress(Interrupted):
        hide_secrets()
        code = _exit_code(command, module)
    # The work is over: a signal has nothing left to stop, and Python could not handle it while it shuts down.
    _ignore_signals()
    # Nor is there anything left to collect, which takes 60 ms at the end of a deploy.
    gc.freeze()
    sys.exit(_say_stopped(_received[0]) if _received else code)


def exit_zero_on_signal() -> None:
    """From now on a signal is the normal end, with exit code 0: a server has been started."""
    _serving.set()


@contextlib.contextmanager
def on_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """Run a quick action when a signal arrives, even if other threads hang; it must not raise."""
    _interrupt_actions.append(action)
    try:
        yield
    finally:
        _interrupt_actions.remove(action)


def _exit_code(command: click.Command, module: str) -> int:
    try:
        code = command.main(prog_name=f"builder.pex -m {module}", standalone_mode=False)
    except click.ClickException as error:
        console.misused(error)
        return error.exit_code
    except BuilderError as error:
        console.traceback()
        console.error(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; do not complain at shutdown either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  (the last line of defence: one clear message instead of a traceback)
        return _show_defect(error)
    return code if isinstance(code, int) else 0


def defect(error: Exception) -> BuilderError:
    """The error to show for an unexpected exception."""
    return BuilderError(
        f"the builder itself failed (version {__version__}): {type(error).__name__}: {error}",
        remedy="Run it again with --verbose and report what it prints; it is a defect of the builder",
    )


def _show_defect(error: Exception) -> int:
    # Perhaps only the cache is damaged that builder.pex is unpacked to: then this does not return.
    if boot := sys.modules.get("builder_pex_boot"):
        boot.restart_if_damaged()
    console.traceback()
    console.error(defect(error))
    return 1


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # A second signal must not interrupt the cleaning up after the first.
    _ignore_signals()
    _stop(number)
    raise Interrupted(number)


def _stop(number: int) -> None:
    _received.append(number)
    process.stop_everything()


def _ignore_signals() -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _force_exit(notes: int) -> None:
    """End the process after a signal, even if its threads hang.

    :param notes: the file descriptor from which the numbers of signals can be read.
    """
    number = os.read(notes, 1)[0]
    _stop(number)
    for action in _interrupt_actions:
        threading.Thread(target=action, daemon=True).start()
    started = time.monotonic()
    while time.monotonic() - started < _CLEANUP_SECONDS:
        time.sleep(_CLEANUP_SECONDS / 20)
        # The main thread sleeps through a signal that comes just before it begins to wait for another thread.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
    temporaries.remove_all()
    # In a thread with a time limit, since the reader of the output may have stopped reading.
    last_word = threading.Thread(target=_say_stopped, args=(number,), daemon=True)
    last_word.start()
    last_word.join(2 * OUTPUT_WAIT_SECONDS)
    os._exit(0 if _serving.is_set() else 128 + number)


def _say_stopped(number: int) -> int:
    # When the time is over, the main thread may just have come to say it too.
    with _last_word:
        if not _said.is_set():
            _said.set()
            if _serving.is_set():
                console.note("stopped; nothing is left running")
            else:
                console.stopped(signal.Signals(number).name)
    return 0 if _serving.is_set() else 128 + number
