"""Files outside the build directory: taken in on purpose, or named by the code and missed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, Workshop, workshop, write_tree

CODE = """
from pathlib import Path
PROJECT = Path(__file__).joinpath("..", "..", "..", "dbt_project")
OTHER = "../dbt_project/models"
HERE = "../project/answer.py"
NOTHING = "../not/there"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as place:
        write_tree(
            place.root / "dbt_project",
            {"dbt_project.yml": "name: x\n", "models/a.sql": "select 1\n", ".env": "S=1"},
        )
        yield place


def source(shop: Workshop, project: Path, *options: str) -> tuple[Ran, list[str]]:
    ran = shop.run("source", project, shop.out, *options)
    files = [name for path in shop.out.glob("source-*.pex") for name in zipfile.ZipFile(path).namelist()]
    return ran, [name for name in files if name.startswith("working_directory/")]


SETTINGS = '[tool.builder]\ninclude = ["../dbt_project"]\n'


def test_an_included_directory_is_where_the_code_finds_it(shop: Workshop) -> None:
    project = shop.project({"pyproject.toml": SETTINGS, "package/defs.py": CODE})
    ran, files = source(shop, project)
    ran.succeeded()
    # `../dbt_project` from working_directory/root, the current directory at run time.
    assert {"working_directory/dbt_project/dbt_project.yml", "working_directory/dbt_project/models/a.sql"} <= set(
        files
    )
    assert "working_directory/dbt_project/.env" not in files
    assert ".env" in ran.stderr
    assert "outside the build directory" not in ran.stderr


def test_one_file_on_the_command_line(shop: Workshop) -> None:
    (shop.root / "shared settings.yaml").write_text("a: 1\n")
    ran, files = source(shop, shop.project(), "--include", "../shared settings.yaml")
    ran.succeeded()
    assert "working_directory/shared settings.yaml" in files


def test_code_that_names_a_path_outside_is_warned_of(shop: Workshop) -> None:
    ran, _files = source(shop, shop.project({"package/defs.py": CODE}))
    warnings = [line for line in ran.succeeded().stderr.splitlines() if "outside the build directory" in line]
    # What is in a directory that has a warning of its own needs none.
    assert len(warnings) == 1
    assert "defs.py:3" in warnings[0]
    assert 'include = ["../dbt_project"]' in warnings[0]


def test_a_missing_path_is_named(shop: Workshop) -> None:
    project = shop.project({"pyproject.toml": SETTINGS.replace("dbt_project", "nothing")})
    error = source(shop, project)[0].failed()
    assert "error: `include` names `../nothing`, but `nothing` does not exist\n" in error


def test_a_path_too_far_above_has_no_place(shop: Workshop) -> None:
    project = shop.project(name="a/b/c/d")
    error = source(shop, project, "--include", "../../../../dbt_project")[0].failed()
    assert "too far above" in error


def test_a_path_that_would_hide_another_file(shop: Workshop) -> None:
    write_tree(shop.root / "root", {"answer.py": "other = 1\n"})
    error = source(shop, shop.project(), "--include", "../root")[0].failed()
    assert "working_directory/root/answer.py" in error


def test_paths_that_leave_by_parents_are_warned_of_where_they_lead_out(shop: Workshop) -> None:
    code = (
        "from pathlib import Path\nROOT = Path(__file__).resolve().parent.parent.parent\n"
        "MODELS = ROOT / 'dbt_project' / 'models'\nMODEL = MODELS / 'a.sql'\n"
        "NAME = Path(__file__).parents[2].joinpath('dbt_project', 'dbt_project.yml')\n"
        "INSIDE = Path(__file__).parents[1] / 'answer.py'\nMISSING = ROOT / 'nothing'\n"
        "HOSTS = Path('/etc') / 'hosts'\n"
    )
    ran, _files = source(shop, shop.project({"package/defs.py": code}))
    warnings = [line for line in ran.succeeded().stderr.splitlines() if "outside the build directory" in line]
    assert re.findall(r"defs\.py:(\d+).*include = \[(.*?)\]", "\n".join(warnings)) == [
        ("3", '"../dbt_project/models"'),
        ("5", '"../dbt_project/dbt_project.yml"'),
    ]
    ran, _files = source(shop, shop.project(), "--include", "../dbt_project")
    assert "outside the build directory" not in ran.succeeded().stderr


def test_component_files_that_name_a_path_outside_are_warned_of(shop: Workshop) -> None:
    files = {
        "package/defs/dbt/defs.yaml": (
            "type: dagster_dbt.DbtProjectComponent\nattributes:\n"
            '  project: "{{ project_root }}/../dbt_project"\n  # project: ../../../../dbt_project/models\n'
        ),
        "package/defs/more/defs.yaml": (
            "attributes:\n  project: ../../../../dbt_project/models\n  inside: ../../answer.py\n"
            "  missing: ../../../../nothing\n  url: https://example.invalid/../dbt_project\n"
        ),
        "compose.yaml": "services:\n  a:\n    build: ../dbt_project\n",
    }
    ran, _files = source(shop, shop.project(files))
    warnings = [line for line in ran.succeeded().stderr.splitlines() if "outside the build directory" in line]
    assert re.findall(r"(\w+/defs\.yaml:\d+).*include = \[(.*?)\]", "\n".join(warnings)) == [
        ("dbt/defs.yaml:3", '"../dbt_project"'),
        ("more/defs.yaml:2", '"../dbt_project/models"'),
    ]
