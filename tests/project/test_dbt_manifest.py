"""A dbt project without its manifest: told before the build, where that is certain, with the command for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Workshop, workshop, write_tree

CODE = """from pathlib import Path
from dagster_dbt import DbtProject, dbt_assets

project = DbtProject(
    project_dir=Path(__file__).joinpath("..", "..", "jaffle").resolve(),
    packaged_project_dir=Path(__file__).joinpath("..", "dbt-project").resolve(),
)
project.prepare_if_dev()


@dbt_assets(manifest=project.manifest_path)
def models(context): ...
"""
COMPONENT = """type: dagster_dbt.DbtProjectComponent
attributes:
  project: "{{ project_root }}/jaffle"
"""
DBT = {"jaffle/dbt_project.yml": "name: jaffle\n"}
FILE = "run `dagster-dbt project prepare-and-package --file project/shop/dbt.py` before the build"
COMPONENTS = "run `dagster-dbt project prepare-and-package --components project` before the build"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("dbt")) as place:
        yield place


def warnings(shop: Workshop, files: dict[str, str], **env: str) -> list[str]:
    write_tree(shop.root / "project", files)
    ran = shop.run("source", "project", shop.out, env=env).succeeded()
    return [line for line in ran.stderr.splitlines() if "manifest.json" in line]


def test_a_missing_manifest_is_told_until_it_is_made(shop: Workshop) -> None:
    files = {**DBT, "requirements.txt": "", "shop/dbt.py": CODE, "shop/defs/jaffle/defs.yaml": COMPONENT}
    told = "dbt's `project/jaffle/target/manifest.json` is missing, and no server makes it"
    of_code = f"warning: project/shop/dbt.py:4: {told}: {FILE}"
    assert warnings(shop, files) == [
        of_code,
        f"warning: project/shop/defs/jaffle/defs.yaml:3: {told}: {COMPONENTS}",
    ]
    # There a deploy makes it as the state of the component.
    assert warnings(shop, {}, CI="true") == [of_code]
    assert warnings(shop, {"jaffle/target/manifest.json": "{}"}) == []
    # A server takes the packaged project where there is one.
    packaged = warnings(shop, {"shop/dbt-project/dbt_project.yml": "name: jaffle\n"})
    assert [line.partition(" is missing")[0].rpartition(" ")[2] for line in packaged] == [
        "`project/shop/dbt-project/target/manifest.json`"
    ]
    assert warnings(shop, {"shop/dbt-project/target/manifest.json": "{}"}) == []


@pytest.mark.parametrize(
    "code",
    [
        CODE.replace("prepare_if_dev()", "preparer.prepare(project)"),
        CODE.replace("project.manifest_path", "load(MANIFEST)"),
        CODE.replace('"jaffle"', "os.environ['DBT_PROJECT']"),
        CODE.replace("dagster_dbt", "shop.our_own"),
    ],
)
def test_nothing_is_told_where_it_is_not_certain(tmp_path: Path, code: str) -> None:
    with workshop(tmp_path) as shop:
        assert warnings(shop, {**DBT, "requirements.txt": "", "shop/dbt.py": code}) == []
