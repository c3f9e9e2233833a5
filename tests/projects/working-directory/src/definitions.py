from pathlib import Path

import dagster as dg


@dg.asset(name=Path("config/name.txt").read_text().strip())
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
