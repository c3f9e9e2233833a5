"""Download the locked wheels of every target with pip, verify them against the lock, and cache them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import venv
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from builder_targets import TARGETS, Target
from pipfile_lock import Locked

from builder.errors import ToolError
from builder.system import process, storage

_RUNS_ANYWHERE = "-none-any.whl"


def fetch(locked: Sequence[Locked], cache: Path, *, pure: Collection[str]) -> dict[Target, list[Path]]:
    """Get the wheels of each target; for the names in `pure`, the platform-independent ones. Raises ToolError.

    Wheels in `cache` that match the lock are not downloaded again.
    """
    get = partial(_wheels, cache)
    first, *others = TARGETS
    shared = get(None, [entry for entry in locked if entry.name in pure])
    found = get(first, [entry for entry in locked if entry.name not in pure])
    shared += [wheel for wheel in found if wheel.name.endswith(_RUNS_ANYWHERE)]
    own = {first: [wheel for wheel in found if wheel not in shared]}
    # For other targets, only the platform-specific wheels are needed.
    names = {wheel.name.partition("-")[0].replace("_", "-").lower() for wheel in own[first]}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {target: pool.submit(get, target, [e for e in locked if e.name in names]) for target in others}
    own |= {target: job.result() for target, job in jobs.items()}
    return {target: sorted(shared + own[target], key=lambda wheel: wheel.name) for target in TARGETS}


def _wheels(cache: Path, target: Target | None, locked: Sequence[Locked]) -> list[Path]:
    """Wheels for one target; platform-independent ones if `target` is None."""
    directory = cache / (target.name if target else "anywhere")
    if not _are_whole(directory, locked):
        with storage.scratch_directory(cache) as scratch:
            _download(_pip(scratch), target, locked, scratch)
            if not _are_whole(scratch / "wheels", locked):
                raise ToolError(f"pip fetched something else than the lock asks for, for {directory.name}")
            shutil.rmtree(directory, ignore_errors=True)
            (scratch / "wheels").rename(directory)
    return list(directory.iterdir())


def _are_whole(directory: Path, locked: Sequence[Locked]) -> bool:
    try:
        hashes = {storage.sha256_of(wheel) for wheel in directory.iterdir()}
    except FileNotFoundError:
        return False
    # Exactly one file of each distribution.
    return len(hashes) == len(locked) and all(len(hashes.intersection(entry.sha256)) == 1 for entry in locked)


def _download(pip: Sequence[str], target: Target | None, locked: Sequence[Locked], scratch: Path) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text("\n".join(entry.requirement(marker=False) for entry in locked), encoding="utf-8")
    if target:
        nodots = target.python.replace(".", "")
        options = ["--python-version", target.python, "--implementation", "cp"]
        options += [f"--abi={abi}" for abi in (f"cp{nodots}", "abi3", "none")]
        options += [f"--platform={tag}" for tag in target.tags]
    else:
        options = ["--implementation=py", "--abi=none", "--platform=any"]
    options += ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--no-deps", "--require-hashes"]
    try:
        process.run(
            [*pip, "download", *options, "--requirement", requirements, "--dest", scratch / "wheels"],
            env=process.clean_environment(),
        )
    except process.ProcessFailed as error:
        raise ToolError(
            f"pip could not fetch the locked wheels for {target.name if target else 'any platform'}",
            detail=error.detail,
            remedy="Check the network and pip's index configuration; run scripts/lock.sh after changing Pipfile",
        ) from error


def _pip(scratch: Path) -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    venv.create(scratch / "venv", with_pip=True, symlinks=True)
    return [str(scratch / "venv" / "bin" / "python"), "-m", "pip"]
