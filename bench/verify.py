"""Measure builder.verify on examples/quickstart beside unpacking by pex-tools alone: bench/README.md.

    python bench/verify.py

Prints a table in Markdown. The build is not measured.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
RUNS = 5
SLOW_RUNS = 2
"""For what starts with an empty cache."""


def run(argv: Sequence[str | Path], **environment: str | Path) -> float:
    """Run a program to its end; the seconds that it took."""
    started = time.perf_counter()
    subprocess.run(
        argv,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    return time.perf_counter() - started


def median(count: int, measure: Callable[[], float]) -> float:
    """The median of some runs, in seconds."""
    return statistics.median(measure() for _ in range(count))


def pex_tools(pex: Path, root: Path, *options: str) -> float:
    """Make a virtual environment of a PEX file, with an empty cache of pex's."""
    place = Path(tempfile.mkdtemp(dir=root))
    command: list[str | Path] = [sys.executable, "-m", "pex.tools", pex, "venv", "--collisions-ok"]
    seconds = run([*command, "--non-hermetic-scripts", place / "venv", *options], PEX_ROOT=place / "pex-root")
    shutil.rmtree(place)
    return seconds


def main(root: Path) -> None:
    """Build once, then measure."""
    caches, out = root / "caches", root / "out"
    command: list[str | Path] = [sys.executable, "-m"]
    workspace = QUICKSTART / "dagster_cloud.yaml"
    build = [*command, "builder.deploy", workspace, out, "--python-version", PYTHON_VERSION]
    run(build, BUILDER_CACHE_DIR=caches)
    verify = [*command, "builder.verify", out]

    def cold() -> float:
        shutil.rmtree(caches / "verify", ignore_errors=True)
        return run(verify, BUILDER_CACHE_DIR=caches)

    rows = {
        "builder.verify, cold": median(SLOW_RUNS, cold),
        "builder.verify, warm": median(RUNS, lambda: run(verify, BUILDER_CACHE_DIR=caches)),
    }
    (location,) = json.loads((out / "build.json").read_text())["locations"]
    deps, source = (out / location[kind]["file"] for kind in ("deps", "source"))
    for name, options in (("pex-tools", ()), ("pex-tools --pip, as the server", ("--pip",))):
        for kind, pex in (("deps", deps), ("source", source)):
            rows[f"{name}, {kind} PEX"] = median(SLOW_RUNS, lambda: pex_tools(pex, root, *options))  # noqa: B023
    (deps_modules,) = caches.glob("verify/deps/*/venv/lib/python*/site-packages")
    imports = [sys.executable, "-c", "import dagster._grpc.server, quickstart.definitions"]
    paths = f"{QUICKSTART}{os.pathsep}{deps_modules}"
    rows["importing dagster's code server and the project"] = median(RUNS, lambda: run(imports, PYTHONPATH=paths))
    print("| | seconds |\n| --- | ---: |")
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
