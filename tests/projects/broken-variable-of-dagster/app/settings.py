import dagster as dg

WAREHOUSE = dg.EnvVar("WAREHOUSE_URL").get_value()
SCHEMA = dg.EnvVar("WAREHOUSE_SCHEMA").get_value()
