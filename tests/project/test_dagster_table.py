"""`[tool.dagster]`, by which `dagster dev` finds the code, makes a workspace where nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Origin, ProjectError
from builder.project.workspace import read_workspace

TABLE = '[project]\nname = "app"\nversion = "1"\ndependencies = ["dagster"]\n[tool.dagster]\n'


@pytest.mark.parametrize(
    "text, locations",
    [
        ('module_name = "app.defs"\n', [("app.defs", "app.defs")]),
        ('module_name = "app.defs"\ncode_location_name = "Sales"\n', [("Sales", "app.defs")]),
        ('modules = [{type = "module", name = "a"}, {type = "module", name = "b"}]\n', [("a", "a"), ("b", "b")]),
    ],
)
def test_a_directory_with_nothing_but_the_table_of_dagster_dev_is_a_workspace(
    tmp_path: Path, text: str, locations: list[tuple[str, str]]
) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE + text)
    for path in (tmp_path, tmp_path / "pyproject.toml"):
        found = read_workspace(path).locations
        assert [(location.name, location.code_source[1]) for location in found] == locations
        assert {location.tree.project for location in found} == {tmp_path}
        assert found[0].lines == {"code_source": Origin(tmp_path / "pyproject.toml", 6)}
        assert found[0].settings["code_source"] == {"module_name": locations[0][1]}


@pytest.mark.parametrize(
    "text, line",
    [
        ("module_name = 3\n", 6),
        ('modules = [{type = "package", name = "a"}, {}]\n', 6),
        ('module_name = " "\n', 6),
    ],
)
def test_a_table_of_dagster_dev_without_a_module_is_told_with_its_line(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE + text)
    with pytest.raises(ProjectError, match="names no module") as raised:
        read_workspace(tmp_path)
    assert raised.value.where == Origin(tmp_path / "pyproject.toml", line)


def test_dg_goes_before_the_table_of_dagster_dev(tmp_path: Path) -> None:
    dg = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "app"\n'
    (tmp_path / "pyproject.toml").write_text(f'{TABLE}module_name = "other"\n{dg}')
    (location,) = read_workspace(tmp_path).locations
    assert location.code_source == ("module_name", "app.definitions")
