"""Running a task for several packages in parallel, where a failure does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from builder.errors import BuilderError
from builder.monorepo.discover import Package
from builder.monorepo.wheelhouse import BuiltPackage
from builder.terminal.console import console

_Package = TypeVar("_Package", Package, BuiltPackage)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """A package whose task failed, and the error."""

    name: str
    error: BuilderError


def attempt_each(
    packages: Iterable[_Package], done: str, work: Callable[[_Package], _Result], *, workers: int
) -> tuple[list[_Result], list[Failure]]:
    """Run `work` for each package; returns the results and the failures, both in the order of the packages.

    :param done: a participle for messages about finished packages, such as `built`.
    :param workers: the number of tasks that run in parallel.
    """

    def attempt(package: _Package) -> _Result | Failure:
        try:
            with console.step(f"{done} {package.name}"):
                return work(package)
        except BuilderError as error:
            return Failure(package.name, error)

    with ThreadPoolExecutor(workers) as pool:
        attempts = list(pool.map(attempt, packages))
    failures = [attempt for attempt in attempts if isinstance(attempt, Failure)]
    return [attempt for attempt in attempts if not isinstance(attempt, Failure)], failures
