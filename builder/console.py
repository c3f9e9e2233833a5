"""Words on the screen and exit codes: the only module that prints.

Results go to stdout, everything else to stderr. Text is readable without colour (`NO_COLOR` is obeyed).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final, NoReturn

import click

from builder import __version__, process
from builder.errors import BuilderError, Interrupted, Notice, Origin, without_credentials


@dataclass(slots=True)
class Step:
    """One step of the work; `seconds` is how long it took, once it is over."""

    title: str
    seconds: float = 0.0


class Console:
    """What a door says to its user. Safe to use from several threads."""

    def __init__(self) -> None:
        self.verbose = False
        self._lock = threading.Lock()

    def be_verbose(self) -> None:
        """Echo each program that is run, and show tracebacks."""
        self.verbose = True
        started = time.monotonic()
        process.trace_commands(
            lambda line: self._say(
                f"  +{time.monotonic() - started:6.2f}s  {line}", colour="bright_black", head=200
            )
        )

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Name a step of the work when it is over, with its duration; say nothing of a step that fails."""
        step = Step(title)
        started = time.monotonic()
        if self.verbose:
            self._say(f"  {title} …", colour="bright_black", head=200)
        yield step
        step.seconds = time.monotonic() - started
        self._say(f"✓ {step.title}  {step.seconds:.2f}s", colour="green", head=1)

    def notices(self, notices: Iterable[Notice]) -> None:
        """Show what the user should know although the work goes on."""
        for notice in notices:
            where = f"{notice.where}: " if notice.where else ""
            self._say(f"warning: {where}{notice.text}", colour="yellow", head=len("warning:"))

    def note(self, text: str) -> None:
        """Say something to the user that is neither a result nor a warning."""
        self._say(text)

    def error(self, error: BuilderError, *, about: str | None = None) -> None:
        """Show an error: what, where, the words of the program that failed, and what to do."""
        if process.stopping.is_set():
            # What fails now fails because it was stopped.
            return
        subject = f"{about}: " if about else ""
        lines = [f"error: {subject}{error.what}"]
        if error.where:
            lines.append(f"  where: {_relative(error.where)}")
        if error.detail:
            lines.extend(f"  | {line}" for line in error.detail.splitlines())
        if error.remedy:
            lines.append("")
            lines.append(f"hint: {error.remedy}")
        self._say("\n".join(lines), colour="red", head=len("error:"))

    def traceback(self) -> None:
        """Show where the exception that is being handled was raised, if the user wants to know."""
        if self.verbose:
            self._say(traceback.format_exc().rstrip())

    def stopped(self, signal_name: str) -> None:
        """Say that a signal ended the run."""
        self._say(
            f"error: stopped by {signal_name}; nothing half-made was left behind", colour="red", head=len("error:")
        )

    def result(self, text: str) -> None:
        """Write a result to stdout."""
        with self._lock:
            sys.stdout.write(_printable(text) + "\n")
            sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table of results to stdout, never wrapped; columns whose title starts with `>` align right."""
        lines = [[column.removeprefix(">") for column in columns], *rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
        for line in lines:
            cells = zip(line, widths, columns, strict=True)
            padded = (
                cell.rjust(width) if title.startswith(">") else cell.ljust(width) for cell, width, title in cells
            )
            self.result("  ".join(padded).rstrip())

    def _say(self, text: str, *, colour: str | None = None, head: int = 0) -> None:
        """Write to stderr, without credentials in URLs; only the first `head` characters are coloured."""
        text = _printable(without_credentials(text))
        coloured = False if "NO_COLOR" in os.environ else None
        with self._lock:
            click.echo(click.style(text[:head], fg=colour) + text[head:], err=True, color=coloured)


_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[int] = []
"""The signals that have come."""

_GRACE: Final = 2.0
"""Seconds that an orderly end may take after a signal."""

console = Console()
"""One process has one screen; doors share this object so that lines of parallel steps do not mix."""


def verbose_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a door the option `--verbose`."""

    def turn_on(_context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001
        if value:
            console.be_verbose()

    return click.option(
        "--verbose",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=turn_on,
        help="Echo each program that is run; show tracebacks.",
    )(command)


def run_door(command: click.Command, module: str) -> NoReturn:
    """Run a door to its exit code: the one place where errors become words.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.
    """
    notes, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_see_to_the_end, args=(notes,), daemon=True).start()
    for number in _STOPPING:
        signal.signal(number, _interrupt)
    # Where Python cannot raise, such as in the callback of a weak reference, it would show a traceback.
    sys.unraisablehook = lambda what: None if what.exc_type is Interrupted else sys.__unraisablehook__(what)
    code = 0
    with contextlib.suppress(Interrupted):
        code = _exit_code(command, module)
    # The work is over: a signal has nothing left to stop, and Python could not handle it while it shuts down.
    _ignore_signals()
    sys.exit(_say_stopped(_received[0]) if _received else code)


def _exit_code(command: click.Command, module: str) -> int:
    try:
        code = command.main(prog_name=f"builder.pex -m {module}", standalone_mode=False)
    except click.ClickException as error:
        error.show()
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
        return _unforeseen(error)
    return code if isinstance(code, int) else 0


def _unforeseen(error: Exception) -> int:
    console.traceback()
    console.error(
        BuilderError(
            f"the builder itself failed (version {__version__}): {type(error).__name__}: {error}",
            remedy="Run it again with --verbose and report what it prints; it is a defect of the builder",
        ),
    )
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


def _see_to_the_end(notes: int) -> None:
    """Once a signal has come, see to it that the process ends, whatever its threads hang in.

    :param notes: the file descriptor from which the numbers of signals can be read.
    """
    number = os.read(notes, 1)[0]
    _stop(number)
    started = time.monotonic()
    while time.monotonic() - started < _GRACE:
        time.sleep(_GRACE / 20)
        # The main thread sleeps through a signal that comes just before it begins to wait for another thread.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
    from builder import storage  # noqa: PLC0415  (start-up time)

    storage.remove_temporaries()
    os._exit(_say_stopped(number))


def _say_stopped(number: int) -> int:
    console.stopped(signal.Signals(number).name)
    return 128 + number


def _printable(text: str) -> str:
    """Without control characters, which names of the user's may have and a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)


def _relative(where: Origin) -> str:
    try:
        return str(Origin(where.path.relative_to(os.getcwd()), where.line))  # noqa: PTH109  (no Path needed)
    except ValueError:
        return str(where)
