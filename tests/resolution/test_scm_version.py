"""Packages that take their version from the repository, although a copy without one is built."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Workshop, workshop

PROJECT = '[project]\nname = "app"\ndynamic = ["version"]\ndependencies = ["dagster", "dagster-cloud"]\n'
SETUPTOOLS = """[build-system]
requires = ["setuptools", "setuptools-scm"]
build-backend = "setuptools.build_meta"
[tool.setuptools_scm]
[tool.setuptools]
packages = ["app"]
"""
HATCHLING = """[build-system]
requires = ["hatchling", "hatch-vcs"]
build-backend = "hatchling.build"
[tool.hatch.version]
source = "vcs"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as place:
        # The backends come from the index that this machine uses.
        place.environment = {**os.environ, **place.environment}
        del place.environment["UV_DEFAULT_INDEX"]
        yield place
        place.assert_clean()


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.invalid"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


def versions(shop: Workshop) -> list[str]:
    names = [name for path in shop.out.glob("source-*.pex") for name in zipfile.ZipFile(path).namelist()]
    return sorted(
        name.split("-")[1].removesuffix(".dist") for name in names if name.endswith("dist-info/METADATA")
    )


@pytest.mark.parametrize("system", [SETUPTOOLS, HATCHLING], ids=["setuptools-scm", "hatch-vcs"])
def test_the_version_is_that_of_the_repository(shop: Workshop, system: str) -> None:
    project = shop.project({"pyproject.toml": PROJECT + system, "app/__init__.py": ""})
    (project / "requirements.txt").unlink()
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "One")
    git(project, "tag", "v2.5")
    shop.run("source", project, shop.out).succeeded()
    assert versions(shop) == ["2.5"]

    # The same files under another tag are another version.
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Two")
    git(project, "tag", "v2.6")
    shop.run("source", project, shop.out).succeeded()
    assert versions(shop) == ["2.5", "2.6"]
    status = subprocess.run(["git", "status", "--short"], cwd=project, check=True, capture_output=True)
    assert status.stdout == b""


def test_without_a_repository_the_hint_says_what_to_set(shop: Workshop) -> None:
    project = shop.project({"pyproject.toml": PROJECT + SETUPTOOLS, "app/__init__.py": ""})
    # The end of the backend's own traceback may be in it.
    ran = shop.run("source", project, shop.out)
    assert ran.code == 1
    assert "hint: Set SETUPTOOLS_SCM_PRETEND_VERSION" in ran.stderr
    shop.run("source", project, shop.out, env={"SETUPTOOLS_SCM_PRETEND_VERSION": "3.4"}).succeeded()
    assert versions(shop) == ["3.4"]
