"""Running what was built on this machine, as on Dagster Cloud's server."""
