import dagster


@dagster.asset
def orders() -> None: ...


@dagster.asset
def invoices() -> None: ...


sales = dagster.Definitions(assets=[orders])
finance = dagster.Definitions(assets=[invoices])
