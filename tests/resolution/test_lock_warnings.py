"""Warnings about a lock that satisfies every requirement but is probably not what the user expects."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Notice, Origin
from builder.project.requirements_txt import RequirementLine
from builder.resolution.lock import read_lock
from builder.resolution.lock_warnings import importing_setuptools, lock_warnings
from builder.resolution.store import StoredFile
from builder.resolution.target import serverless_target
from tests.support.wheels import make_wheel

PLACE = Path("requirements.txt")


def locked(**versions: tuple[str, int]) -> str:
    text = 'lock-version = "1.0"\ncreated-by = "uv"\n'
    for name, (version, year) in versions.items():
        dashed = name.replace("_", "-")
        url = f"https://host.invalid/{name}-{version}-py3-none-any.whl"
        text += f'[[packages]]\nname = "{dashed}"\nversion = "{version}"\n'
        hashes = f'{{ sha256 = "{"a" * 64}" }}'
        text += f'wheels = [{{ url = "{url}", upload-time = {year}-01-01T00:00:00Z, hashes = {hashes} }}]\n'
    return text


def asked(*texts: str) -> list[RequirementLine]:
    return [RequirementLine(text=text, origin=Origin(PLACE, number)) for number, text in enumerate(texts, 1)]


def look(
    text: str, *lines: str, newest: dict[str, str] | None = None, words: str = "", python: str = "3.11"
) -> list[Notice]:
    def known(names: list[str]) -> dict[str, str]:
        return {name: (newest or {})[name] for name in names}

    return lock_warnings(text, asked(*lines), serverless_target(python), known, lambda _limits: words)


def test_a_resolution_without_anything_odd() -> None:
    text = locked(dagster=("1.13.27", 2026), dagster_cloud=("1.13.27", 2026), pytz=("2018.1", 2018))
    assert look(text, "dagster", "dagster-cloud", "pytz==2018.1") == []


def test_going_back_years_names_the_requirement_that_forced_it() -> None:
    text = locked(dagster=("0.14.17", 2022), tool=("2.0", 2026))
    words = (
        "Because tool==2.0 depends on x, ….\nAnd because you require dagster>=1.13 and tool==2.0, we can conclude"
    )
    (notice,) = look(text, "dagster", "tool==2.0", newest={"dagster": "1.13.27"}, words=words)
    assert notice.text == (
        "the resolution went back years, to dagster 0.14.17 (newest: 1.13.27), because of `tool==2.0`; loosen that"
    )
    assert notice.where == Origin(PLACE, 2)


def test_an_old_version_that_is_the_newest_there_is_means_nothing() -> None:
    text = locked(toposort=("1.10", 2022), dagster=("1.13.27", 2026))
    assert look(text, "toposort", newest={"toposort": "1.10"}) == []


@pytest.mark.parametrize(
    "requirement", ["tool==1.0", "tool<2", "tool~=1.0", "tool @ https://host.invalid/tool.whl"]
)
def test_an_old_version_that_was_asked_for_means_nothing(requirement: str) -> None:
    text = locked(tool=("1.0", 2019), dagster=("1.13.27", 2026))
    assert look(text, requirement, newest={"tool": "9.0"}) == []


def test_prereleases_that_nobody_asked_for() -> None:
    text = locked(tool=("2.0rc1", 2026), other=("3.0b2", 2026))
    assert look(text, "other>=3.0b1", "tool>=1") == [
        Notice(
            "`tool 2.0rc1` is a prerelease, which no requirement names; where there is a release, require that",
            Origin(PLACE, 2),
        )
    ]
    text = locked(**{f"telemetry_{number:02}": ("0.9b1", 2026) for number in range(36)})
    (notice,) = look(text)
    assert "`telemetry-02 0.9b1` and 33 more are prereleases, 36 in all" in notice.text


def test_dagster_and_dagster_cloud_of_different_versions() -> None:
    text = locked(dagster=("1.13.27", 2026), dagster_cloud=("1.13.20", 2026))
    (notice,) = look(text, "dagster", "dagster-cloud")
    assert "1.13.27" in notice.text
    assert "1.13.20" in notice.text


def test_the_newest_dagster_that_an_old_python_allows_is_said() -> None:
    text = locked(dagster=("1.12.1", 2026))
    (notice,) = look(text, "dagster", newest={"dagster": "1.12.1"}, python="3.9")
    assert notice.text == "dagster 1.12.1 is the newest that allows Python 3.9; take a newer Python"
    assert look(text, "dagster<1.12.2", newest={"dagster": "1.12.3"}, python="3.9") == []


@pytest.mark.parametrize(
    "others, year, code, warnings",
    [
        ({}, 2018, "import pkg_resources\n", 1),
        ({"setuptools": ("84.0", 2026)}, 2018, "from pkg_resources import x\n", 1),
        ({"setuptools": ("80.0", 2025)}, 2018, "import pkg_resources\n", 0),
        ({}, 2026, "import pkg_resources\n", 0),
        ({}, 2018, "import json\n", 0),
    ],
)
def test_old_distributions_that_need_setuptools(
    tmp_path: Path, others: dict[str, tuple[str, int]], year: int, code: str, warnings: int
) -> None:
    wheel = make_wheel(tmp_path, {"tool/__init__.py": code}, name="tool", version="1.0")
    text = locked(tool=("1.0", year), **others)
    lock = read_lock(text, serverless_target("3.12"), base=tmp_path, origin=Origin(PLACE), hashes={})
    notices = importing_setuptools(lock, {"tool": StoredFile(wheel.path, wheel.sha256)})
    assert [notice.text.startswith("tool 1.0 imports pkg_resources") for notice in notices] == [True] * warnings
