"""Resolving requirements to a lock of one target, and fetching its wheels."""
