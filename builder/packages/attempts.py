"""Running a task for several packages in parallel, where one that fails is shown and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from builder.errors import BuilderError, Notice
from builder.packages.discover import Package
from builder.packages.wheelhouse import BuiltPackage
from builder.terminal.console import console

_Package = TypeVar("_Package", Package, BuiltPackage)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Failure:
    """A package whose task failed.

    :param excuse: why the failure does not count; None if it does.
    """

    name: str
    error: BuilderError
    excuse: str | None = None


def attempt_each(
    packages: Iterable[_Package],
    done: str,
    work: Callable[[_Package], _Result],
    *,
    workers: int,
    excuse: Callable[[_Package, BuilderError], str | None],
) -> tuple[list[_Result], list[Failure]]:
    """Run `work` for each package; returns the results and the failures, both in the order of the packages.

    :param done: a participle for messages about finished packages, such as `built`.
    :param workers: the number of tasks that run in parallel.
    :param excuse: says why a failure does not count; None if it does.
    """

    def attempt(package: _Package) -> _Result | Failure:
        try:
            with console.step(f"{done} {package.name}"):
                return work(package)
        except BuilderError as error:
            failure = Failure(package.name, error, excuse(package, error))
            _show(failure)
            return failure

    with ThreadPoolExecutor(workers) as pool:
        attempts = list(pool.map(attempt, packages))
    failures = [attempt for attempt in attempts if isinstance(attempt, Failure)]
    return [attempt for attempt in attempts if not isinstance(attempt, Failure)], failures


def _show(failure: Failure) -> None:
    if failure.excuse is None:
        console.error(failure.error, about=failure.name)
    else:
        text = f"{failure.name}: {failure.error.what}; this does not count, {failure.excuse}"
        console.notices([Notice(text, failure.error.where)])
