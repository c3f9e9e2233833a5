from app.warehouse import connect

import dagster

connect()
defs = dagster.Definitions()
