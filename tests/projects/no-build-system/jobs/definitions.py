import dagster as dg


@dg.asset(name="from_a_file")
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
