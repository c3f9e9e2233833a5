"""Resolving a project's requirements to a lock for one target, and fetching its wheels."""
