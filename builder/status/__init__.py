"""Showing what the locations of Dagster Cloud run."""
