"""Builds two PEX files from a Dagster project and deploys them to Dagster Cloud."""

__version__ = "0.1.0"

REPOSITORY = "OWNER/builder"
"""The GitHub repository of the action and the releases; set the owner here before the first release."""
