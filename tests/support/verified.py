"""What `builder.verify` finds in an output directory, to hold against what the receiving server loads."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.commands import run_command
from tests.support.programs import REPOSITORY
from tests.support.server import KINDS


def verified(out: Path) -> dict[str, dict[str, list[str]]]:
    """The names of what each location defines, by kind; fails if a location does not load."""
    answer = json.loads(run_command("verify", out, "--json", directory=REPOSITORY).succeeded().stdout)
    return {name: {kind: found[kind] for kind in KINDS} for name, found in answer.items()}
