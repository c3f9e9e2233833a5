import os

import dagster

WAREHOUSE = os.environ["WAREHOUSE_URL"]


@dagster.asset
def orders() -> None: ...


defs = dagster.Definitions(assets=[orders])
