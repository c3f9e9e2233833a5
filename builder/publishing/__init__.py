"""Finished files become files of a registry: sent, read back, and remembered."""
