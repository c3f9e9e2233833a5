"""What an error says."""

from __future__ import annotations

from builder.errors import BuilderError


def words(error: BuilderError) -> str:
    """All that a user reads of it but the place."""
    return f"{error.what}\n{error.detail}\n{error.remedy}"
