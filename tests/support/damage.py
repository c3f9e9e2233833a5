"""One byte that is another, and what it is tried on."""

from __future__ import annotations

from pathlib import Path


def damaged(content: bytes) -> bytes:
    """As many bytes, of which the one in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def kinds_of_files(cache: Path) -> dict[tuple[str, str], Path]:
    """One file of each kind, by the part of the cache and the suffix; locks and empty files are none."""
    files = sorted(path for path in cache.rglob("*") if path.is_file() and path.stat().st_size)
    inside = [path for path in files if path.parent != cache and path.suffix != ".lock"]
    return {(path.relative_to(cache).parts[0], path.suffix): path for path in inside}
