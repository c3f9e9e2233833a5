"""Builds two PEX files from a Dagster project and deploys them to Dagster Cloud."""

__version__ = "0.1.0"
