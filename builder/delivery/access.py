"""Asking Dagster Cloud what a deployment takes, and whether it may be updated, while the build begins."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Self

from builder.delivery.job import OnlyImages
from builder.delivery.registries import Connection, Registries
from builder.system import process
from builder.terminal.console import console


class Access:
    """Queries Dagster Cloud in a thread; a context manager.

    Nothing is written and no other output is shown before the answer: a refusal must be reported first.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pool = ThreadPoolExecutor(1)
        console.hold()
        self._answer = self._pool.submit(self._ask)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        console.go_on(show=False)

    @property
    def registries(self) -> Registries:
        """The answer; raises CloudError, ContextError or UsageError if it is no."""
        return self._answer.result()

    def may_write_pex(self) -> None:
        """Wait for the answer. Raises OnlyImages if PEX files are not wanted, or the error if it is no."""
        if self.registries.only_images:
            raise OnlyImages("the deployment takes images only")

    def _ask(self) -> Registries:
        try:
            with console.first():
                registries = self._connection.ask()
        except BaseException:
            # The build in progress is useless.
            process.end_programs()
            raise
        console.go_on(show=not registries.only_images)
        return registries
