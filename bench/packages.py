"""Build 25 real packages of dagster's repository, once each and as the earlier workflow did: bench/README.md.

    python bench/packages.py [NUMBER_OF_PACKAGES]    (default: all 25)

The earlier workflow has a job for each package, in a clone of its own, which builds the core packages and then its
own. Two jobs run at once here, as on a machine with two cores; on GitHub each is a machine of its own, which takes
time too. Prints a table in Markdown. All caches are warm.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BENCHED = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHED))

from builder.monorepo.discover import Package, discover  # noqa: E402  (found by the line above)
from builder.monorepo.wheelhouse import read_wheelhouse  # noqa: E402
from tests.support.real_packages import PYPROJECT_ERA, fetch, lay_out  # noqa: E402

RUNS = 3
JOBS = 2
CORE = ("dagster", "dagster-webserver", "dagster-graphql", "dagster-pipes", "dagit")
"""The list of the earlier workflow, without dagster-test, which is not published."""


def build_once(repository: Path, out: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Build each package once: seconds, and how many wheels were built."""
    started = time.perf_counter()
    argv: list[str | Path] = [sys.executable, "-m", "builder.packages", "build", repository, "--out", out]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started, len(read_wheelhouse(out).packages)


def build_in_each_job(packages: tuple[Package, ...], root: Path, environment: dict[str, str]) -> tuple[float, int]:
    """Build as the earlier workflow did: seconds, and how many wheels were built."""
    paths = {package.name: package.path for package in packages}
    core = [paths[name] for name in CORE if name in paths]
    repository = packages[0].directory
    while not (repository / ".git").exists():
        repository = repository.parent

    def job(package: Package) -> int:
        clone = root / "jobs" / package.name
        subprocess.run(["git", "clone", "--quiet", repository, clone], check=True)
        webapp = Path("python_modules/dagster-webserver/dagster_webserver/webapp")
        shutil.copytree(repository / webapp, clone / webapp, dirs_exist_ok=True)
        built = 0
        for path in [*core, package.path]:
            pip: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
            argv = [*pip, "--wheel-dir", clone / "dist", clone / path]
            subprocess.run(argv, env=environment, check=True, capture_output=True)
            built += 1
        shutil.rmtree(clone)
        return built

    started = time.perf_counter()
    with ThreadPoolExecutor(JOBS) as pool:
        built = sum(pool.map(job, packages))
    return time.perf_counter() - started, built


def main() -> None:
    """Measure both ways, one after the other."""
    load = os.getloadavg()[0]
    cache = BENCHED / ".pytest_cache" / "d" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["BUILDER_CACHE_DIR"] = str(cache)
    files = fetch(PYPROJECT_ERA, cache)
    # Small numbers, for a first look, have the core packages too.
    names = sorted(PYPROJECT_ERA.names, key=lambda name: (name not in (*CORE, "dagster-shared"), name))
    names = names[: int(sys.argv[1])] if sys.argv[1:] else names
    environment = {**os.environ, "PYTHONPATH": str(BENCHED)}
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        root = Path(name).resolve()
        repository = lay_out(files, names, root / "repository").path
        packages = discover(repository).packages
        runs = [build_once(repository, root / "house", environment) for _ in range(RUNS + 1)][1:]
        seconds, built = statistics.median(run[0] for run in runs), runs[0][1]
        earlier_seconds, earlier_built = build_in_each_job(packages, root, environment)
    print(f"load before: {load:.1f}, packages: {len(names)}\n")
    print("| | wheels built | time |\n| --- | ---: | ---: |")
    print(f"| this project | {built} | {seconds:.1f} s |")
    times = earlier_seconds / seconds
    print(f"| core packages again in each job | {earlier_built} | {earlier_seconds:.1f} s ({times:.1f} times) |")


if __name__ == "__main__":
    main()
