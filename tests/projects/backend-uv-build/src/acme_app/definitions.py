import dagster as dg


@dg.asset(name="from_uv_build")
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
