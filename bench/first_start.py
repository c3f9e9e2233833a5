"""First and later starts of two builder.pex, in turn: `first_start.py OLD.pex NEW.pex [ROUNDS]`.

OLD is what to compare with, built in a worktree of an earlier commit; that before streams is `ad91ed7~1`:

    git worktree add ../old ad91ed7~1 && ../old/build-builder.sh ../old/out

Each first start has an empty cache. The figures are medians of wall seconds, the ratio is NEW's to OLD's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "builder.deploy --help": ["builder.deploy", "--help"],
    "dagster --version": ["dagster", "--version"],
    "dagster_cloud_cli --version": ["dagster_cloud_cli.entrypoint", "--version"],
}


def seconds(pex: Path, arguments: list[str], cache: str) -> float:
    """The wall time of one start."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, pex, "-m", *arguments],
        env={**os.environ, "BUILDER_CACHE_DIR": cache},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print a table: each command, first and later, with OLD, NEW and their ratio."""
    old, new = Path(sys.argv[1]), Path(sys.argv[2])
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    print("| start | old | new | ratio |\n|---|---:|---:|---:|")
    for name, arguments in COMMANDS.items():
        taken: dict[tuple[str, Path], list[float]] = {}
        for _ in range(rounds):
            for pex in (old, new):
                with tempfile.TemporaryDirectory() as cache:
                    for which in ("first", "later"):
                        taken.setdefault((which, pex), []).append(seconds(pex, arguments, cache))
        for which in ("first", "later"):
            before, after = (statistics.median(taken[which, pex]) for pex in (old, new))
            print(f"| {which} {name} | {before:.2f} s | {after:.2f} s | {after / before:.2f} |")


if __name__ == "__main__":
    main()
