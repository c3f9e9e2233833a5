"""Progress bars at the bottom of a terminal, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import dagster_cloud_cli  # noqa: F401  (inside builder.pex it brings rich along)
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from builder.terminal.progress import Progress


class Bars:
    """The bars of several steps; they vanish when hidden. Used by one thread at a time."""

    def __init__(self, steps: Sequence[Progress]) -> None:
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
