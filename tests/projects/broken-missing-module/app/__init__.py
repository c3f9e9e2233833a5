from app.rates import orders

import dagster

defs = dagster.Definitions(assets=[orders])
