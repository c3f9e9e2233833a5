"""Dagster Cloud's deployments: where a location goes, how it is updated there, and whether it loads."""
