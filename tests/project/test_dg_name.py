"""The name that a dg project has by its directory goes along to where the directory is called otherwise."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from builder.project.dg_name import named_config


@pytest.mark.parametrize(
    "name, text",
    [
        ("pyproject.toml", '[tool.dg]\n[tool.dg.project]  # ours\nroot_module = "app"\n[tool.x]\n'),
        ("dg.toml", '[project]\nroot_module = "app"'),
    ],
)
def test_the_directorys_name_is_written_into_the_configuration(tmp_path: Path, name: str, text: str) -> None:
    directory = tmp_path / 'my "demo"'
    directory.mkdir()
    (directory / name).write_text(text)
    found = named_config(directory)
    assert found is not None
    before, after = tomllib.loads(text), tomllib.loads(found[1].decode())
    project = (after["tool"]["dg"] if name == "pyproject.toml" else after)["project"]
    assert (found[0], project.pop("code_location_name")) == (name, 'my "demo"')
    assert after == before
    assert (directory / name).read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        '[tool.dg.project]\nroot_module = "a"\ncode_location_name = "b"\n',
        "[tool.dg.workspace]\n",
        "",
        "[project]\n",
    ],
)
def test_what_has_a_name_or_is_no_project_stays_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert named_config(tmp_path) is None
