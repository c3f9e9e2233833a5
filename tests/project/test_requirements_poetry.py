"""Poetry's dialect."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.requirements import RequestedExtras, read_requirements
from builder.resolution.target import serverless_target
from tests.support.requirements import no_backend, package, read, texts, write

POETRY = """
[tool.poetry]
name = "app"
version = "0.1.0"
description = ""
authors = []

[tool.poetry.dependencies]
python = ">=3.10,<3.13"
dagster = "^1.9"
requests = "~2.31"
anything = "*"
several = [{version = "<2", python = "<3.11"}, {version = ">=2", python = ">=3.11"}]
orjson = {version = "^3", optional = true}
httpx = {version = ">=0.2", extras = ["http2"], markers = "sys_platform == 'linux'"}
pywin32 = {version = "*", platform = "win32"}
shared = {path = "../shared", develop = true}
tool = {git = "https://example.invalid/x.git", tag = "v1", subdirectory = "py"}
direct = {url = "https://example.invalid/direct-1.0-py3-none-any.whl"}

[tool.poetry.extras]
fast = ["orjson"]

[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
POETRY_BACKEND = '\n[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'


@pytest.mark.parametrize("backend", [POETRY_BACKEND, ""], ids=["build-system", "no build-system"])
def test_poetry(tmp_path: Path, backend: str) -> None:
    package(tmp_path / "shared", "shared", "pytz")
    write(tmp_path / "app" / "pyproject.toml", POETRY + backend)
    found = read(tmp_path / "app")
    assert texts(found) == [
        "dagster<2.0,>=1.9",
        "requests<2.32,>=2.31",
        "anything",
        "several>=2",
        "httpx[http2]>=0.2",
        "tool @ git+https://example.invalid/x.git@v1#subdirectory=py",
        "direct @ https://example.invalid/direct-1.0-py3-none-any.whl",
        "pytz",
    ]
    assert found.local_packages == ((tmp_path / "app",) if backend else ()) + (tmp_path / "shared",)


def test_poetry_extras_and_groups(tmp_path: Path) -> None:
    package(tmp_path / "shared", "shared")
    write(tmp_path / "app" / "pyproject.toml", POETRY + POETRY_BACKEND)
    found = read(tmp_path / "app", RequestedExtras(("fast",), ("dev",)))
    assert {"orjson<4,>=3", "pytest"} <= set(texts(found))


def test_poetry_that_does_not_allow_the_target(tmp_path: Path) -> None:
    package(tmp_path / "shared", "shared")
    write(tmp_path / "app" / "pyproject.toml", POETRY + POETRY_BACKEND)
    markers = serverless_target("3.13").markers
    with pytest.raises(ProjectError, match=r"`app` does not allow Python 3\.13: it requires `>=3\.10,<3\.13`"):
        read_requirements(tmp_path / "app", markers, no_backend)


def test_ranges_of_pythons_with_a_gap_allow_what_is_in_them(tmp_path: Path) -> None:
    text = POETRY.replace('python = ">=3.10,<3.13"', 'python = "~3.10 || ~3.12"')
    assert text != POETRY
    package(tmp_path / "shared", "shared")
    write(tmp_path / "app" / "pyproject.toml", text + POETRY_BACKEND)
    for version in ("3.10", "3.12"):
        read_requirements(tmp_path / "app", serverless_target(version).markers, no_backend)
    with pytest.raises(ProjectError, match=r"`app` does not allow Python 3\.11"):
        read_requirements(tmp_path / "app", serverless_target("3.11").markers, no_backend)


def test_a_poetry_table_of_a_backend_that_is_not_in_use_is_not_read(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster", more='[tool.poetry.dependencies]\nrequests = "^2"\n')
    assert texts(read(tmp_path)) == ["dagster"]


def test_a_poetry_table_that_poetry_refuses(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[tool.poetry]\nname = "app"\n' + POETRY_BACKEND)
    with pytest.raises(ProjectError, match="not what poetry expects") as caught:
        read(tmp_path)
    assert "version" in str(caught.value.detail)


def test_poetry_sources(tmp_path: Path) -> None:
    text = """
[tool.poetry]
name = "app"
version = "1"
description = ""
authors = []
[tool.poetry.dependencies]
python = ">=3.10"
dagster = "*"
private = { version = "^1", source = "ours" }
[[tool.poetry.source]]
name = "ours"
url = "https://ours.invalid/simple"
priority = "explicit"
"""
    write(tmp_path / "pyproject.toml", text)
    found = read(tmp_path)
    assert [(line.text, line.index) for line in found.lines] == [
        ("dagster", None),
        ("private<2,>=1", {"name": "ours", "url": "https://ours.invalid/simple"}),
    ]
    assert found.options == ()

    more = '[[tool.poetry.source]]\nname = "{0}"\nurl = "https://{0}.invalid/simple"\npriority = "{1}"\n'
    write(
        tmp_path / "pyproject.toml", text + more.format("first", "primary") + more.format("second", "supplemental")
    )
    assert read(tmp_path).options == (
        "--extra-index-url https://first.invalid/simple",
        "--index-url https://second.invalid/simple",
    )

    write(tmp_path / "pyproject.toml", text.replace('name = "ours"', 'name = "theirs"'))
    with pytest.raises(ProjectError, match="`private` names the source `ours`"):
        read(tmp_path)
