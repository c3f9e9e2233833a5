"""Build 25 real packages of dagster's repository, once each and as the earlier workflow did: bench/README.md.

    python bench/packages.py [NUMBER_OF_PACKAGES]    (default: all 25)

The earlier workflow has a job for each package, in a clone of its own, which builds the core packages and then its
own: 25 packages are 150 builds, each in an environment of its own. Two run at once here, as on a machine with two
cores; on GitHub each job is a machine of its own, which takes time too. Prints a table in Markdown, with the time
that processors were at work; what is done goes to stderr. All caches are warm.
"""

from __future__ import annotations

import os
import resource
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

from builder.packages.discover import Package, discover  # noqa: E402  (found by the line above)
from builder.packages.wheelhouse import read_wheelhouse  # noqa: E402
from tests.support.real_packages import PYPROJECT_ERA, fetch, lay_out  # noqa: E402

RUNS = 3
JOBS = 2
TIMEOUT = 600
"""For one build, in seconds."""
CORE = ("dagster", "dagster-webserver", "dagster-graphql", "dagster-pipes", "dagit")
"""The list of the earlier workflow, without dagster-test, which is not published."""


def build_once(repository: Path, out: Path, environment: dict[str, str]) -> tuple[float, float, int]:
    """Build each package once: seconds, processor time, and how many wheels were built."""
    started, busy = time.perf_counter(), _busy()
    argv: list[str | Path] = [sys.executable, "-m", "builder.packages", "build", repository, "--out", out]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started, _busy() - busy, len(read_wheelhouse(out).packages)


def build_with_pip(
    packages: tuple[Package, ...], root: Path, environment: dict[str, str]
) -> tuple[float, float, int]:
    """Build each package once with `pip wheel`, and the same is told of it."""
    started, busy = time.perf_counter(), _busy()
    with ThreadPoolExecutor(JOBS) as pool:
        paths = [package.directory for package in packages]
        for number, _ in enumerate(pool.map(lambda path: _pip_wheel(path, root / "dist", environment), paths), 1):
            _progress("pip wheel of each", number, len(packages))
    return time.perf_counter() - started, _busy() - busy, len(packages)


def build_in_each_job(
    packages: tuple[Package, ...], root: Path, environment: dict[str, str]
) -> tuple[float, float, int]:
    """Build as the earlier workflow did, and the same is told of it."""
    paths = {package.name: package.path for package in packages}
    core = [paths[name] for name in CORE if name in paths]
    repository = packages[0].directory
    while not (repository / ".git").exists():
        repository = repository.parent

    def job(package: Package) -> int:
        clone = root / "jobs" / package.name
        subprocess.run(["git", "clone", "--quiet", repository, clone], check=True)
        webapp = Path("python_modules/dagster-webserver/dagster_webserver/webapp")
        if (repository / webapp).is_dir():
            shutil.copytree(repository / webapp, clone / webapp, dirs_exist_ok=True)
        wanted = [*core, package.path]
        for path in wanted:
            _pip_wheel(clone / path, clone / "dist", environment)
        shutil.rmtree(clone)
        return len(wanted)

    started, busy, built = time.perf_counter(), _busy(), 0
    with ThreadPoolExecutor(JOBS) as pool:
        for number, count in enumerate(pool.map(job, packages), 1):
            built += count
            _progress("core packages again in each job", number, len(packages))
    return time.perf_counter() - started, _busy() - busy, built


def _pip_wheel(directory: Path, out: Path, environment: dict[str, str]) -> None:
    argv: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out]
    subprocess.run([*argv, directory], env=environment, check=True, capture_output=True, timeout=TIMEOUT)


def _busy() -> float:
    """The processor time of all programs that were started and have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _progress(what: str, number: int, count: int) -> None:
    print(f"{what}: {number} of {count}", file=sys.stderr, flush=True)


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
        runs = []
        for number in range(RUNS + 1):
            runs.append(build_once(repository, root / "house", environment))
            _progress("this project", number, RUNS)
        own = statistics.median_low(runs[1:])
        rows = {
            "this project": own,
            "`pip wheel` of each": build_with_pip(packages, root, environment),
            "core packages again in each job": build_in_each_job(packages, root, environment),
        }
    print(f"load before: {load:.1f}, packages: {len(names)}\n")
    print("| | wheels built | time | processor time |\n| --- | ---: | ---: | ---: |")
    for name, (seconds, busy, count) in rows.items():
        times, busy_times = seconds / own[0], busy / own[1]
        print(f"| {name} | {count} | {seconds:.1f} s ({times:.1f}) | {busy:.1f} s ({busy_times:.1f}) |")


if __name__ == "__main__":
    main()
