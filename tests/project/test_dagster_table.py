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


def test_a_workspace_yaml_of_dagster_dev_is_answered_with_the_file_to_write(tmp_path: Path) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(
        "# local\nload_from:\n  - python_module: sales.definitions\n"
        "  - python_file: {relative_path: repo/a.py, attribute: defs, working_directory: repo}\n"
        "  - python_package: {package_name: stock, location_name: Our Stock}\n"
        "  - python_file: flat.py\n  - grpc_server: {host: localhost, port: 4266}\n"
    )
    written = (
        "locations:\n"
        "  - location_name: sales.definitions\n    code_source: {module_name: sales.definitions}\n"
        "  - location_name: a.py\n    code_source: {python_file: repo/a.py}\n"
        "    working_directory: repo\n    attribute: defs\n"
        '  - location_name: "Our Stock"\n    code_source: {package_name: stock}\n'
        "  - location_name: flat.py\n    code_source: {python_file: flat.py}"
    )
    for path in (tmp_path, file):
        with pytest.raises(ProjectError, match="what `dagster dev` reads") as caught:
            read_workspace(path)
        assert caught.value.where == Origin(file, 2)
        assert caught.value.remedy == f"Write `{tmp_path / 'dagster_cloud.yaml'}`:\n{written}"
    # As it is shown, it is a workspace file.
    (tmp_path / "dagster_cloud.yaml").write_text(written)
    assert len(read_workspace(tmp_path).locations) == 4


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
