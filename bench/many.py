"""Measure reading and resolving a project of some 250 distributions, with and without a lock: bench/README.md.

    python bench/many.py

Prints a table in Markdown. Everything is warm: the first run of each kind is not counted.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import mock

if TYPE_CHECKING:
    from builder.system import process

REPOSITORY = Path(__file__).resolve().parents[1]
RUNS = 5
PYTHON_VERSION = "3.11"

NAMES = (
    *(
        "dagster",
        "dagster-cloud",
        "dagster-webserver",
        "dagster-dbt",
        "dagster-aws",
        "dagster-k8s",
        "dagster-slack",
    ),
    *("dagster-snowflake", "dagster-duckdb-pandas", "dbt-snowflake", "scikit-learn", "matplotlib", "polars"),
    *("pyarrow", "jupyterlab", "boto3", "sqlalchemy"),
)
MANIFEST = f"""
[project]
name = "many"
version = "1.0"
requires-python = "=={PYTHON_VERSION}.*"
dependencies = {json.dumps(NAMES)}
"""


def once(project: Path) -> dict[str, float]:
    """Read and resolve, imports included; seconds in all, of these in uv, and the number of distributions."""
    in_uv = 0.0
    started = time.perf_counter()
    from builder.project.requirements import read_requirements  # noqa: PLC0415  (measured)
    from builder.resolution import uv  # noqa: PLC0415  (measured)
    from builder.resolution.resolve import resolve  # noqa: PLC0415  (measured)
    from builder.resolution.target import serverless_target  # noqa: PLC0415  (measured)

    run = uv.run

    def timed(*arguments: Any, **keywords: Any) -> process.Finished:  # noqa: ANN401  (passed on)
        nonlocal in_uv
        before = time.perf_counter()
        finished = run(*arguments, **keywords)
        in_uv += time.perf_counter() - before
        return finished

    def no_backend(directory: Path) -> NoReturn:
        sys.exit(f"nothing here is to be asked of a build backend: {directory}")

    with mock.patch.object(uv, "run", timed):
        target = serverless_target(PYTHON_VERSION)
        found = resolve(read_requirements(project, target.markers, no_backend), target)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "uv": in_uv, "distributions": len(found.lock.distributions)}


def measure(project: Path, environment: dict[str, str], forget: Path | None = None) -> tuple[float, float, int]:
    """Medians of the seconds in all and in uv, each run a process of its own."""
    runs = []
    for _ in range(RUNS + 1):
        for kept in forget.glob("*") if forget else ():
            kept.unlink()
        argv: list[str | Path] = [sys.executable, __file__, "--once", project]
        runs.append(json.loads(subprocess.run(argv, env=environment, check=True, capture_output=True).stdout))
    counted = runs[1:]
    seconds, in_uv = (statistics.median(run[key] for run in counted) for key in ("seconds", "uv"))
    return seconds, in_uv, int(runs[0]["distributions"])


def main() -> None:
    """Measure all kinds, one after the other."""
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(once(Path(sys.argv[2]))))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        root = Path(name).resolve()
        cache = root / "cache"
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BUILDER_CACHE_DIR": str(cache)}
        (root / "project").mkdir()
        (root / "project" / "pyproject.toml").write_text(MANIFEST)
        rows = [
            ("without a lock, resolved anew", measure(root / "project", environment, cache / "resolutions")),
            ("without a lock, resolved within ten minutes", measure(root / "project", environment)),
        ]
        locking = {**environment, "UV_CACHE_DIR": str(cache / "uv")}
        subprocess.run(["uv", "lock", "--quiet"], cwd=root / "project", env=locking, check=True)
        rows.append(("with uv.lock", measure(root / "project", environment)))
    print(f"load before: {load:.1f}\n\n| | in all | without uv | distributions |\n| --- | ---: | ---: | ---: |")
    for title, (seconds, in_uv, count) in rows:
        print(f"| {title} | {seconds:.2f} s | {seconds - in_uv:.2f} s | {count} |")


if __name__ == "__main__":
    main()
