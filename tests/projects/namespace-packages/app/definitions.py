from acme.sales import SALES
from acme.stock import STOCK

import dagster as dg


@dg.asset(name=f"acme_{SALES}_{STOCK}")
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
