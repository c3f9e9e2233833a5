"""A project's own lock determines what is installed, even if the index has newer versions."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import DAGSTER, Workshop, workshop, write_tree
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.slow, pytest.mark.network]

UV_PROJECT = """
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["dagster", "dagster-cloud", "tool", "shared"]
[project.optional-dependencies]
fast = ["extra"]
[dependency-groups]
dev = ["devtool"]
[tool.uv.sources]
shared = { path = "../shared" }
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
SHARED = """
[project]
name = "shared"
version = "1.0"
dependencies = []
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
POETRY_PROJECT = """
[tool.poetry]
name = "app"
version = "1.0"
description = ""
authors = []
[tool.poetry.dependencies]
python = ">=3.10,<3.14"
dagster = "*"
dagster-cloud = "*"
tool = "*"
shared = { path = "../shared", develop = true }
extra = { version = "*", optional = true }
[tool.poetry.extras]
fast = ["extra"]
[tool.poetry.group.dev.dependencies]
devtool = "*"
[[tool.poetry.source]]
name = "shelf"
url = "@URL@"
priority = "primary"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as place:
        for name in ("tool", "extra", "devtool"):
            make_wheel(place.index.directory, {f"{name}.py": ""}, name=name, version="1.0")
        write_tree(place.root / "shared", {"pyproject.toml": SHARED, "shared/__init__.py": ""})
        yield place
        place.assert_clean()


def locked(shop: Workshop) -> dict[str, str]:
    """The versions by name in the lock next to the deps PEX."""
    (path,) = shop.out.glob("*.pylock.toml")
    return {entry["name"]: entry["version"] for entry in tomllib.loads(path.read_text())["packages"]}


def uv_project(shop: Workshop) -> Path:
    project = shop.project({"pyproject.toml": UV_PROJECT, "app/__init__.py": ""}, name="app")
    (project / "requirements.txt").unlink()
    lock(shop, project)
    make_wheel(shop.index.directory, {"tool.py": ""}, name="tool", version="2.0")
    return project


def lock(shop: Workshop, project: Path) -> None:
    command = [shop.environment["BUILDER_UV"], "lock", "--quiet"]
    subprocess.run(command, check=True, cwd=project, env=shop.environment)


PINNED = {"dagster": DAGSTER, "dagster-cloud": DAGSTER, "tool": "1.0"}


def test_uv_lock_is_obeyed(shop: Workshop) -> None:
    shop.build(uv_project(shop)).succeeded()
    assert locked(shop) == PINNED


def test_extras_and_groups_of_uv_lock(shop: Workshop) -> None:
    shop.build(uv_project(shop), "--extra", "fast", "--group", "dev").succeeded()
    assert locked(shop) == {**PINNED, "extra": "1.0", "devtool": "1.0"}


def test_uv_lock_that_no_longer_fits(shop: Workshop) -> None:
    project = uv_project(shop)
    manifest = project / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('"tool"', '"tool>=2"'))
    error = shop.build(project).failed()
    assert "uv.lock does not fit pyproject.toml any more" in error
    assert "uv lock" in error
    assert shop.artefacts() == []


def test_local_packages_of_uv_lock_are_installed_without_the_network(shop: Workshop) -> None:
    project = uv_project(shop)
    write_tree(project, {"pyproject.toml": UV_PROJECT})
    shop.run("source", project, shop.out, env={"UV_DEFAULT_INDEX": ""}).succeeded()
    (built,) = shop.out.glob("source-*.pex")
    check = "import app, shared, importlib.metadata as m; print(m.version('app'), m.version('shared'))"
    env = {"PATH": os.environ["PATH"], "PEX_ROOT": str(shop.root / "pex-root")}
    ran = subprocess.run([built, "-c", check], env=env, capture_output=True, encoding="utf-8", check=False)
    assert ran.stdout.split() == ["1.0", "1.0"], ran.stderr


def test_pylock_toml_with_an_extra_and_a_group(shop: Workshop) -> None:
    project = uv_project(shop)
    uv = shop.environment["BUILDER_UV"]
    command = [
        uv,
        "export",
        "--quiet",
        "--format",
        "pylock.toml",
        "--no-emit-local",
        "--output-file",
        "pylock.toml",
    ]
    subprocess.run([*command, "--extra", "fast", "--group", "dev"], check=True, cwd=project, env=shop.environment)
    text = (project / "pylock.toml").read_text()
    text = text.replace(
        'lock-version = "1.0"', 'lock-version = "1.0"\nextras = ["fast"]\ndependency-groups = ["dev"]'
    )
    text = text.replace('name = "extra"', 'name = "extra"\nmarker = "\'fast\' in extras"')
    text = text.replace('name = "devtool"', 'name = "devtool"\nmarker = "\'dev\' in dependency_groups"')
    (project / "pylock.toml").write_text(text)
    (project / "uv.lock").unlink()

    shop.build(project).succeeded()
    assert locked(shop) == PINNED
    for path in shop.out.iterdir():
        path.unlink()
    shop.build(project, "--extra", "fast", "--group", "dev").succeeded()
    assert locked(shop) == {**PINNED, "extra": "1.0", "devtool": "1.0"}
    assert "no extra or group `other`" in shop.build(project, "--extra", "other").failed()


def test_poetry_lock_is_obeyed_and_must_fit(shop: Workshop) -> None:
    project = shop.project(
        {"pyproject.toml": POETRY_PROJECT.replace("@URL@", shop.index.url), "app/__init__.py": ""}
    )
    (project / "requirements.txt").unlink()
    # Poetry itself comes from this machine's configured index, the project's distributions from the test index.
    shop.environment = {**os.environ, **shop.environment}
    del shop.environment["UV_DEFAULT_INDEX"]
    command = [
        shop.environment["BUILDER_UV"],
        "run",
        "--quiet",
        "--no-project",
        "--isolated",
        "--with",
        "poetry>=2.1,<3",
    ]
    subprocess.run([*command, "poetry", "lock", "--quiet"], check=True, cwd=project, env=shop.environment)
    make_wheel(shop.index.directory, {"tool.py": ""}, name="tool", version="2.0")

    shop.build(project).succeeded()
    assert locked(shop) == PINNED
    for path in shop.out.iterdir():
        path.unlink()
    shop.build(project, "--extra", "fast", "--group", "dev").succeeded()
    assert locked(shop) == {**PINNED, "extra": "1.0", "devtool": "1.0"}

    manifest = project / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('tool = "*"', 'tool = ">=2"'))
    error = shop.build(project).failed()
    assert "poetry.lock cannot be used" in error
    assert "poetry lock" in error
