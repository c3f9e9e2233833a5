"""Resolving requirements with `uv pip compile`, and its refusals as errors."""

from __future__ import annotations

from collections.abc import Sequence

from builder.project.requirements import Requirements
from builder.resolution.availability import Availability
from builder.resolution.explanation import read_explanation
from builder.resolution.indexes import Indexes
from builder.resolution.refusals import explain
from builder.resolution.target import Target
from builder.resolution.uv_compile import run_compile
from builder.system import process


def compile_requirements(
    requirements: Requirements,
    target: Target,
    indexes: Indexes,
    constraints: Sequence[str] = (),
    *,
    with_dependencies: bool = True,
) -> process.Finished:
    """Resolve with uv; the result's stdout is a `pylock.toml`, its stderr has warnings.

    Raises ResolutionError, FetchError or SdistBuildError, with the line of the requirement that caused it.
    """
    more = ["--no-annotate", "--format", "pylock.toml", *([] if with_dependencies else ["--no-deps"])]
    try:
        return run_compile(requirements, target, indexes, constraints, more=more)
    except process.ProcessFailed as error:
        raise explain(read_explanation(error.stderr, Availability(requirements, target, indexes))) from error
