"""What Dagster loads from this project."""

import dagster as dg

from quickstart import assets

refresh_shop = dg.define_asset_job("refresh_shop", selection=dg.AssetSelection.groups("shop"))

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([assets]),
    jobs=[refresh_shop],
    schedules=[dg.ScheduleDefinition(name="every_morning", job=refresh_shop, cron_schedule="0 6 * * *")],
)
