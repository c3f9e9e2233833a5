import dagster as dg


@dg.asset(name="from_flit")
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
