"""How far a long step has come: bars at the bottom of a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.terminal import formatting

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.progress import TaskID


class Progress:
    """The bytes of a step that are done. Safe to use from several threads."""

    def __init__(self, title: str, total_bytes: int | None) -> None:
        self.title = title
        self.total_bytes = total_bytes
        self._done: dict[str, int] = {}
        self._latest = ""
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def update(self, name: str, done: int) -> None:
        """Of the file `name` so many bytes are done in all; less than before if it had to start again."""
        with self._lock:
            self._done[name] = done
            self._latest = name

    @property
    def done(self) -> int:
        """The bytes of all files that are done."""
        with self._lock:
            return sum(self._done.values())

    @property
    def so_far(self) -> str:
        """What is done, in a few words; the seconds that it takes where bytes are not what it is about."""
        done = self.done
        if self.total_bytes is not None:
            return f"{formatting.size(done)} of {formatting.size(self.total_bytes)}"
        return formatting.size(done) if done else f"{time.monotonic() - self._started:.0f} s"

    def __str__(self) -> str:
        with self._lock:
            what = f"{self.title} {self._latest}".rstrip()
        return f"{what}, {self.so_far}"


class Bars:
    """The bars of several steps; they vanish when hidden. Used by one thread at a time."""

    def __init__(self, steps: Sequence[Progress]) -> None:
        # Inside builder.pex it brings rich along.
        import dagster_cloud_cli  # noqa: F401, PLC0415  (start-up time)
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        self._steps = steps
        self._console = Console(file=sys.stderr, highlight=False)
        self._rich = RichProgress(
            TextColumn(
                "  {task.description}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[so_far]}", markup=False, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=self._console,
            expand=True,
        )
        self._tasks: dict[Progress, TaskID] = {}
        self._live: Live | None = None

    def show(self) -> None:
        """Draw the bars below what was written, and keep drawing them until they are hidden."""
        from rich.live import Live  # noqa: PLC0415  (start-up time)

        if self._live is None:
            # A new one each time: a stopped one believes that its lines are still there.
            self._live = Live(
                console=self._console,
                get_renderable=self._current,
                refresh_per_second=10,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)

    def hide(self) -> None:
        """Take the bars away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _current(self) -> RenderableType:
        steps = tuple(self._steps)
        for step in steps:
            if step not in self._tasks:
                self._tasks[step] = self._rich.add_task(step.title, total=step.total_bytes, so_far="")
        for step, task in self._tasks.items():
            self._rich.update(task, completed=step.done, so_far=step.so_far, visible=step in steps)
        return self._rich.get_renderable()
