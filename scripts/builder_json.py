"""Writing builder.pex.json: what builder.pex was built from, beside it."""

from __future__ import annotations

import json
from pathlib import Path

from builder_targets import PYTHONS, TARGETS

from builder import __version__
from builder.errors import ToolError
from builder.system import process, storage

_ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("builder", "scripts", "Pipfile", "Pipfile.lock", "build-builder.sh")
"""What builder.pex depends on."""


def write(path: Path, *, size: int, sha256: str) -> None:
    """Describe the builder.pex of this size and hash, built from this checkout."""
    document = {
        "version": __version__,
        "sha256": sha256,
        "size": size,
        "commit": _commit(),
        "lock": storage.sha256_of(_ROOT / "Pipfile.lock"),
        "pythons": list(PYTHONS),
        "platforms": sorted({f"{target.system} {target.machine}" for target in TARGETS}),
    }
    with storage.atomic_write(path) as stream:
        stream.write(f"{json.dumps(document, indent=2)}\n".encode())


def _commit() -> str | None:
    """The commit that is checked out here; None without git, or if what builder.pex is made of was changed."""
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != _ROOT or _git(
            "status", "--porcelain", "--", *SOURCES
        ):
            return None
        return _git("rev-parse", "HEAD")
    except ToolError:
        return None


def _git(*arguments: str) -> str:
    return process.run(["git", *arguments], cwd=_ROOT, env=process.clean_environment()).stdout.strip()
