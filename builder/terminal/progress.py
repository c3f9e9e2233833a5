"""The progress of a long step, in bytes or seconds."""

from __future__ import annotations

import threading
import time

from builder.terminal import formatting


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
        """Set how many bytes of the file `name` are done in total; fewer than before if the transfer restarted."""
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
