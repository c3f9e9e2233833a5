"""Detecting versions of `dagster`, `dagster-cloud` and dagster's libraries that were not released together.

A resolver processes requirements in their written order. If dagster comes first and its newest version has no
matching dagster-cloud yet (or the other way round), the resolver may choose a years-old dagster-cloud, which does
not pin dagster, instead of a dagster that is a week older.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from packaging.pylock import Package, Pylock

from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine

YEARS: Final = timedelta(days=730)
"""A version this much older than the newest one in a resolution was probably not intended."""


def series(version: str) -> str:
    """The first two numbers of a version."""
    return ".".join(version.split(".")[:2])


def uploaded(package: Package) -> datetime | None:
    """When the newest file of a version was uploaded; None if the index does not provide it."""
    times = (wheel.upload_time for wheel in package.wheels or ())
    return max((time for time in times if time is not None), default=None)


def apart(text: str, lines: Iterable[RequirementLine]) -> frozenset[str]:
    """The names of resolved packages that do not match the release of the resolved `dagster`.

    `dagster-cloud` matches if it is of the same series (1.13); a library that the project requires, such as
    `dagster-gcp`, matches if it was uploaded less than two years before dagster.

    :param text: the resolver's `pylock.toml`, with upload times.
    :param lines: the project's requirements.
    """
    packages = {str(package.name): package for package in Pylock.from_dict(tomllib.loads(text)).packages}
    dagster, cloud = packages.get("dagster"), packages.get("dagster-cloud")
    if dagster is None:
        return frozenset()
    names = set()
    if cloud is not None and series(str(cloud.version)) != series(str(dagster.version)):
        names.add("dagster-cloud")
    asked = {name for line in lines if (name := required_name(line.text)).startswith("dagster-")}
    time = uploaded(dagster)
    for name in asked & packages.keys():
        if time and (then := uploaded(packages[name])) and time - then > YEARS:
            names.add(name)
    return frozenset(names)


def dagster_first(lines: Sequence[RequirementLine]) -> tuple[RequirementLine, ...]:
    """Sort the lines: dagster-cloud, dagster, dagster's libraries, then all others."""

    def place(line: RequirementLine) -> int:
        name = required_name(line.text)
        first = {"dagster-cloud": 0, "dagster": 1}
        return first.get(name, 2 if name.startswith("dagster-") else 3)

    return tuple(sorted(lines, key=place))
