"""What `builder.verify` finds in an output directory, to hold against what the receiving server loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from builder.system import process
from tests.support.server import KINDS

REPOSITORY = Path(__file__).parents[2]


def verified(out: Path) -> dict[str, dict[str, list[str]]]:
    """The names of what each location defines, by kind; fails if a location does not load."""
    finished = subprocess.run(
        [sys.executable, "-m", "builder.verify", out, "--json"],
        cwd=REPOSITORY,
        env=process.clean_environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    answer = json.loads(finished.stdout)
    return {name: {kind: found[kind] for kind in KINDS} for name, found in answer.items()}
