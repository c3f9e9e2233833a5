"""Builds two PEX files from a Dagster project and deploys them to Dagster Cloud."""

__version__ = "0.1.0"

REPOSITORY = "OWNER/builder"
"""The repository with the action and the releases on GitHub; whoever publishes them writes the owner, here."""
