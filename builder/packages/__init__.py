"""Discovering, versioning, building, locking and checking the packages of a monorepo."""
