"""Running builder.pex, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A run of a program that reads nothing."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def said(finished: subprocess.CompletedProcess[str]) -> str:
    """What a run wrote that succeeded."""
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line that it said when it gave up."""
    assert finished.returncode == 1, finished
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    return line


def evaluate(pex: Path, code: str, **env: str) -> str:
    """What a piece of code prints that runs inside builder.pex."""
    # timeit looks for modules in the current directory too.
    out = said(
        run([sys.executable, pex, "-m", "timeit", "--number=1", "--repeat=1", code], env=env, cwd=pex.parent)
    )
    return out.rpartition("\n")[0]


def write_program(path: Path, script: str) -> None:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def link(path: Path, interpreter: Path | str) -> None:
    """Have a path start an interpreter."""
    # A symbolic link would make a virtual environment's Python forget where it lives.
    write_program(path, f'exec "{interpreter}" "$@"')
