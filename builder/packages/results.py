"""What became of each package in each step: a file for each, so that jobs can bring theirs together."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from builder.errors import BuilderError, Origin, PackagesError
from builder.packages.attempts import Failure
from builder.system import storage

Step = Literal["build", "lock", "check", "image", "push"]
State = Literal["passed", "excused", "failed"]

STEPS: Final[tuple[Step, ...]] = get_args(Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step for one package.

    :param package: its normalised name.
    :param why: of a failure, perhaps in several lines.
    :param excuse: why the failure does not count.
    :param facts: what the step knows of the package: of a build `version`, `wheels`, `requires`, `selected`,
        `unpublished`; of a lock `wheels`; of an image `digest` and `platforms`; of a push `name`, `tags`,
        `digest`.
    """

    package: str
    step: Step
    state: State = "passed"
    why: str | None = None
    excuse: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def failed_result(step: Step, failure: Failure, facts: Mapping[str, object] | None = None) -> StepResult:
    """The result of a step that failed."""
    error = failure.error
    return StepResult(
        package=failure.name,
        step=step,
        state="failed" if failure.excuse is None else "excused",
        why="\n".join(filter(None, (error.what, error.detail))),
        excuse=failure.excuse,
        facts=facts or {},
    )


def write_results(directory: Path | None, results: Iterable[StepResult]) -> None:
    """Write results into a directory, where they replace older ones of the same step; nothing without one."""
    if directory is None:
        return
    storage.make_directory(directory)
    for result in results:
        # A normalised name has no dots.
        with storage.atomic_write(directory / f"{result.package}.{result.step}.json") as stream:
            stream.write(json.dumps(asdict(result), indent=2).encode() + b"\n")


@contextlib.contextmanager
def recording(directory: Path | None, step: Step, package: str) -> Iterator[dict[str, object]]:
    """Write the result of a step for one package, with the facts that the body adds, or its error."""
    facts: dict[str, object] = {}
    try:
        yield facts
    except BuilderError as error:
        write_results(directory, [failed_result(step, Failure(package, error))])
        raise
    write_results(directory, [StepResult(package=package, step=step, facts=facts)])


def read_results(directory: Path) -> dict[str, dict[Step, StepResult]]:
    """Read all results in a directory, by package and step; raises PackagesError if there are none."""
    results: dict[str, dict[Step, StepResult]] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            result = StepResult(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise PackagesError(
                f"`{path.name}` is no result of a step: {error}",
                where=Origin(path),
                remedy="Give the directory of --results, with nothing else in it",
            ) from error
        results.setdefault(result.package, {})[result.step] = result
    if not results:
        raise PackagesError(
            f"there are no results in `{directory}`", remedy="Give the directory that --results named before"
        )
    return results
