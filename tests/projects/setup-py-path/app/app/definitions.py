from shared import NAME

import dagster as dg


@dg.asset(name=NAME)
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
