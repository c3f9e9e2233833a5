import dagster as dg


@dg.asset(name="from_poetry")
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
