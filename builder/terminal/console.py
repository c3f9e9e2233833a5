"""The console: the only module that prints.

Results go to stdout, everything else to stderr. Text is readable without colour (`NO_COLOR` is obeyed).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from builder.errors import BuilderError, Notice
from builder.system import process
from builder.system.redaction import redacted
from builder.terminal import github_log as github_output
from builder.terminal.formatting import near
from builder.terminal.progress import Progress

if TYPE_CHECKING:
    from builder.terminal.bars import Bars


@dataclass(slots=True)
class Step:
    """One step of the work; `seconds` is how long it took, once it is over."""

    title: str
    seconds: float = 0.0


class Console:
    """The output of a command. Safe to use from several threads.

    Secrets of the environment, credentials and presigned URLs are redacted. In GitHub Actions, no text can
    be taken for a workflow command.
    """

    def __init__(self) -> None:
        self.verbose = False
        self.quiet = False
        self._lock = threading.RLock()
        self._phase: str | None = None
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._begun: set[str] = set()
        self._waiting: list[Callable[[], None]] | None = None
        self._interrupt_note: str | None = None
        self._steps: list[Progress] = []
        self._bars: Bars | None = None

    def be_verbose(self) -> None:
        """Echo each program that is run, and show tracebacks."""
        self.verbose = True
        started = time.monotonic()
        process.trace_commands(
            lambda line: self._say(
                f"  +{time.monotonic() - started:6.2f}s  {line}", colour="bright_black", head=200
            )
        )

    def be_quiet(self) -> None:
        """Show only warnings, errors and results."""
        self.quiet = True

    @contextlib.contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """A part of the whole work, a group of the log in GitHub Actions: groups cannot be nested there.

        Shows first what has been said of it already (see `during`). An error ends the group: it
        must be visible without unfolding anything.
        """
        grouped = not self.quiet and github_output.in_actions()
        with self._alone():
            if grouped:
                self._end_group()
                self._phase = title
                with self.first():
                    self._command(github_output.command("group", _clean(title)))
            self._release(title)
        try:
            yield
        finally:
            with self._alone():
                if grouped and self._phase == title:
                    self._end_group()

    @contextlib.contextmanager
    def during(self, title: str) -> Iterator[None]:
        """Hold back what this thread says until the phase of this title has begun: work runs side by side."""
        token = _PHASE.set(title)
        try:
            yield
        finally:
            _PHASE.reset(token)

    def hold(self) -> None:
        """Hold back what is said from now on, except by threads in `first`, until `go_on`."""
        self._waiting = []

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """Show what this thread says although everything else is held back (see `hold`)."""
        token = _FIRST.set(True)
        try:
            yield
        finally:
            _FIRST.reset(token)

    def go_on(self, *, show: bool) -> None:
        """Hold back nothing more; what was held back is shown, or forgotten."""
        with self._alone():
            waiting, self._waiting = self._waiting or [], None
            for write in waiting if show else ():
                write()

    def release_all(self) -> None:
        """Show what is held back for phases that will not begin any more."""
        with self._alone():
            for title in list(self._held):
                self._release(title)

    def _release(self, title: str) -> None:
        self._begun.add(title)
        for write in self._held.pop(title, ()):
            write()

    def _write(self, line: Callable[[], None]) -> None:
        """Write now, or when the phase that the thread is in has begun."""
        title = _PHASE.get()
        with self._alone():
            if title is not None and title not in self._begun:
                self._held.setdefault(title, []).append(line)
            elif self._waiting is not None and not _FIRST.get() and not process.stopping.is_set():
                self._waiting.append(line)
            else:
                line()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show the title and duration of a step when it is over; nothing if it fails, or has no title then."""
        step = Step(title)
        started = time.monotonic()
        if self.verbose and title:
            self._say(f"  {title} …", colour="bright_black", head=200)
        yield step
        step.seconds = time.monotonic() - started
        if step.title:
            self.done(step.title, step.seconds)

    def done(self, title: str, seconds: float) -> None:
        """Show that a step is done, with its duration."""
        if not self.quiet:
            self._say(f"✓ {title}  {seconds:.2f}s", colour="green", head=1)

    @contextlib.contextmanager
    def progress(self, title: str, total_bytes: int | None) -> Iterator[Progress]:
        """Show the progress of a step that takes more than a moment.

        :param title: what is being done, such as "uploading".
        :param total_bytes: of all the files that `update` will name; None if unknown.
        """
        progress = Progress(_clean(title), total_bytes)
        over = threading.Event()
        if not self.quiet:
            show = self._show_bar if _on_terminal() else self._tell_now_and_then
            threading.Thread(target=show, args=(progress, over), daemon=True).start()
        try:
            yield progress
        finally:
            over.set()
            with self._alone():
                if progress in self._steps:
                    self._steps.remove(progress)

    def notices(self, notices: Iterable[Notice]) -> None:
        """Show warnings, and notes."""
        for notice in notices:
            message = near(f"{notice.where}: {notice.text}" if notice.where else notice.text)
            if notice.is_note:
                self.note(message)
            elif github_output.in_actions():
                with self._alone():
                    self._command(github_output.annotation("warning", _clean(message), where=notice.where))
            else:
                self._say(f"warning: {message}", colour="yellow", head=len("warning:"))

    def note(self, text: str) -> None:
        """Show a message that is neither a result nor a warning."""
        if not self.quiet:
            self._say(text)

    def error(self, error: BuilderError, *, about: str | None = None) -> None:
        """Show an error: message, location, output of the program that failed, and hint."""
        if process.stopping.is_set():
            # What fails now fails because it was stopped.
            return
        subject = f"{about}: " if about else ""
        lines = [f"error: {subject}{error.what}"]
        if error.where:
            lines.append(f"  where: {error.where}")
        if detail := error.verbose_detail if self.verbose else error.detail:
            lines.extend(f"  | {line}" for line in detail.splitlines())
        if error.remedy:
            lines.append("")
            lines.append(f"hint: {error.remedy}")
        with self._alone():
            self._end_group()
            self._say(near("\n".join(lines)), colour="red", head=len("error:"))
            if github_output.in_actions():
                hint = f"\nhint: {error.remedy}" if error.remedy else ""
                message = _clean(near(f"{error.what}{hint}"))
                title = _clean(about or "")
                self._command(github_output.annotation("error", message, where=error.where, title=title))

    def traceback(self) -> None:
        """Show the traceback of the current exception, if --verbose was given."""
        if self.verbose:
            self._say(traceback.format_exc().rstrip())

    def misused(self, error: click.ClickException) -> None:
        """Show a usage error as click does."""
        said = io.StringIO()
        error.show(said)
        with self._alone():
            self._end_group()
            self._say(said.getvalue().rstrip())

    def set_interrupt_note(self, text: str | None) -> None:
        """Set what a stop at this moment leaves behind, a sentence without a full stop; None for nothing."""
        self._interrupt_note = text

    def stopped(self, signal_name: str) -> None:
        """Show that a signal ended the run, and what it left behind."""
        leaving = self._interrupt_note or "no incomplete file was left behind"
        with self._alone():
            self._end_group()
            self._say(f"error: stopped by {signal_name}; {leaving}", colour="red", head=len("error:"))

    def result(self, text: str) -> None:
        """Write a result to stdout."""
        with self._alone():
            sys.stdout.write(_harmless(text) + "\n")
            sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table of results to stdout; columns whose title starts with `>` align right.

        A line is never wrapped: on a terminal that is too narrow, a row is a block with a line for each cell.
        """
        titles = [column.removeprefix(">") for column in columns]
        lines = [titles, *rows]
        widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
        if sum(widths) + len(_BETWEEN) * (len(widths) - 1) > _columns():
            for number, row in enumerate(rows):
                # A row without a first cell goes on with what the one before is about.
                self.result(("\n" if number and row[0] else "") + _block(titles, row))
            return
        for line in lines:
            cells = zip(line, widths, columns, strict=True)
            padded = (
                cell.rjust(width) if title.startswith(">") else cell.ljust(width) for cell, width, title in cells
            )
            self.result(_BETWEEN.join(padded).rstrip())

    def _show_bar(self, progress: Progress, over: threading.Event) -> None:
        if over.wait(BAR_DELAY_SECONDS):
            return
        # rich takes 60 ms to import, and most steps are over by now.
        try:
            from builder.terminal.bars import Bars  # noqa: PLC0415
        except ImportError:
            # builder.pex cannot unpack rich here, such as on a full disk.
            return

        with self._alone():
            # A bar of a step that is over would never be removed.
            if not over.is_set():
                self._steps.append(progress)
                self._bars = self._bars or Bars(self._steps)

    def _tell_now_and_then(self, progress: Progress, over: threading.Event) -> None:
        while not over.wait(STATUS_LINE_SECONDS):
            self._say(f"  … still {progress}")

    def _say(self, text: str, *, colour: str | None = None, head: int = 0) -> None:
        """Write to stderr; only the first `head` characters are coloured."""
        text = _harmless(text)
        coloured = False if "NO_COLOR" in os.environ else None
        line = click.style(text[:head], fg=colour) + text[head:]
        self._write(lambda: click.echo(line, err=True, color=coloured))

    def _command(self, line: str) -> None:
        """Write a workflow command to stderr: the runner reads both streams."""
        self._write(lambda: click.echo(line, err=True))

    def _end_group(self) -> None:
        if self._phase is not None:
            self._phase = None
            self._command(github_output.command("endgroup"))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the output lock, with the progress bars hidden."""
        # The final message must be written even if a thread holds the lock.
        held = self._lock.acquire(timeout=OUTPUT_WAIT_SECONDS if process.stopping.is_set() else -1)
        try:
            if self._bars:
                self._bars.hide()
            yield
        finally:
            if self._bars and self._steps and not process.stopping.is_set():
                self._bars.show()
            if held:
                self._lock.release()


_PHASE: Final[ContextVar[str | None]] = ContextVar("_PHASE", default=None)
"""The phase that a thread has said it works for."""

_FIRST: Final[ContextVar[bool]] = ContextVar("_FIRST", default=False)
"""Whether a thread speaks although others are held back."""

BAR_DELAY_SECONDS: Final = 1.0
"""Seconds that a step may take before it gets a bar."""

STATUS_LINE_SECONDS: Final = 15.0
"""Seconds between two lines on a step that takes long, where there is no terminal."""

_BETWEEN: Final = "  "
"""Between the cells of a table."""

OUTPUT_WAIT_SECONDS: Final = 0.5
"""Seconds that the final message waits for other output."""


console = Console()
"""Shared by all modules, so that lines of parallel steps do not mix."""


def _clean(text: str) -> str:
    """Without secrets, and without control characters, which a terminal would obey."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", redacted(text))


def _harmless(text: str) -> str:
    """Clean, and no workflow command where those are obeyed."""
    text = _clean(text)
    return github_output.neutralised(text) if github_output.in_actions() else text


def _block(titles: Sequence[str], row: Sequence[str]) -> str:
    """A row of a table below itself, without its empty cells."""
    width = max(map(len, titles))
    cells = ((title, cell) for title, cell in zip(titles, row, strict=True) if cell)
    return "\n".join(f"{title.ljust(width)}{_BETWEEN}{cell}" for title, cell in cells)


def _columns() -> float:
    """How wide a table may be: what is not read by people may be of any width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else float("inf")


def _on_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
