"""When one project's resolution holds for another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.assembly.contents import PackedDistribution
from builder.building.shared_resolutions import SharedResolutions
from builder.building.steps import DepsBuild
from builder.errors import Origin
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution.target import serverless_target


def project(directory: Path, *names: str) -> Requirements:
    directory.mkdir()
    line = RequirementLine(text="dagster", origin=Origin(directory / "pyproject.toml", 3))
    return Requirements(directory=directory, lines=(line,), local_names=frozenset(names))


def deps(*requires: str, built: bool = True) -> DepsBuild:
    distribution = PackedDistribution(
        project="dagster",
        version="1.0",
        packed=1,
        unpacked=1,
        tests=0,
        files=(),
        copies=(),
        metadata={"requires-dist": list(requires)},
    )
    return DepsBuild(
        name="deps-1.pex",
        size=1,
        sha256=None,
        identity="1",
        artefact=None,
        lock=Path(),
        versions={},
        dagster_version="1.0",
        seconds={},
        distributions=(distribution,) if built else (),
    )


@pytest.mark.parametrize(
    "requires, fits",
    [
        ([], True),
        (["click", "Two>1 ; extra == 'x'"], True),
        (["one"], False),
        (['One[x] >= 2 ; python_version < "3"'], False),
    ],
)
def test_only_what_no_distribution_requires_makes_no_difference(
    tmp_path: Path, requires: list[str], *, fits: bool
) -> None:
    leader, other = project(tmp_path / "a", "one", "both"), project(tmp_path / "b", "two", "both")

    assert SharedResolutions(serverless_target("3.11")).fits(other, leader, deps(*requires, "both")) is fits


def test_without_the_wheels_nothing_is_known(tmp_path: Path) -> None:
    leader, other = project(tmp_path / "a", "one"), project(tmp_path / "b", "two")
    cached = deps(built=False)

    assert not SharedResolutions(serverless_target("3.11")).fits(other, leader, cached)
    assert SharedResolutions(serverless_target("3.11")).fits(leader, leader, cached)
