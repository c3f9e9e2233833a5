"""The work of `builder.packages`, which is imported when a command needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.monorepo.commands import PackagesCommands


def commands() -> PackagesCommands:
    """The functions that the commands call."""
    # Their help needs nothing of it.
    from builder.monorepo.commands import PackagesCommands  # noqa: PLC0415

    return PackagesCommands()
