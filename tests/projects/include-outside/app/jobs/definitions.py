from pathlib import Path

import dagster as dg


@dg.asset(name=Path(__file__).parents[2].joinpath("dbt_project", "dbt_project.yml").read_text().split()[1])
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
