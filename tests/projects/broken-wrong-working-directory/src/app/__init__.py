import dagster


@dagster.asset
def orders() -> None: ...


defs = dagster.Definitions(assets=[orders])
