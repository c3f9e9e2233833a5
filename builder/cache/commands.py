"""What `builder.cache` does: removing entries, and printing how much space that freed."""

from __future__ import annotations

from builder.cache import entries
from builder.system import storage
from builder.terminal.console import console
from builder.terminal.formatting import size


def prune() -> None:
    """Remove what was not used for long, and what killed runs left."""
    with console.progress("pruning", None):
        removal = entries.prune()
    _show(removal)


def clear() -> None:
    """Remove all that the cache holds."""
    with console.progress("clearing", None):
        removal = entries.clear()
    _show(removal)


def _show(removal: entries.Removal) -> None:
    count = "1 entry" if removal.entries == 1 else f"{removal.entries} entries"
    sizes = f"{size(removal.before)} before, {size(removal.after)} now"
    console.result(f"removed {count} from `{storage.cache_directory()}`: {sizes}")
