"""What is left on the shelves."""

import dagster as dg

from shop_stock.assets import shelves, well_stocked

refresh_stock = dg.define_asset_job("refresh_stock", selection="*")

defs = dg.Definitions(
    assets=[shelves, well_stocked],
    jobs=[refresh_stock],
    schedules=[dg.ScheduleDefinition(name="stock_nightly", job=refresh_stock, cron_schedule="30 2 * * *")],
)
