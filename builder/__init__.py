"""Takes a Dagster project from a commit to two PEX files that Dagster Cloud runs."""

__version__ = "0.1.0"
