"""Build 18 real packages of dagster's repository, once each and as the earlier workflow did: bench/README.md.

    python bench/packages.py [NUMBER_OF_PACKAGES]    (default: all 25)

The earlier workflow has a job for each package, in a clone of its own, which builds the core packages and then its
own: 18 packages are 108 builds, each in an environment of its own. Two run at once here, as on a machine with two
cores; on GitHub each job is a machine of its own, which takes time too. Prints a table in Markdown, with the time
that processors were at work and the peak memory of the largest process; what is done goes to stderr. All caches
are warm.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BENCHED = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHED))

from bench.measuring import Usage, machine, markdown, run  # noqa: E402  (found by the line above)
from builder.packages.discover import Package, discover  # noqa: E402  (found by the line above)
from builder.packages.wheelhouse import read_wheelhouse  # noqa: E402
from tests.support.real_packages import PYPROJECT_ERA, fetch, lay_out  # noqa: E402

RUNS = 3
JOBS = 2
TIMEOUT = 600
"""For one build, in seconds."""
CORE = ("dagster", "dagster-webserver", "dagster-graphql", "dagster-pipes", "dagit")
"""The list of the earlier workflow, without dagster-test, which is not published."""


def build_once(repository: Path, out: Path, environment: dict[str, str]) -> tuple[Usage, int]:
    """Build each package once; returns how many wheels that were, too."""
    argv: list[str | Path] = [sys.executable, "-m", "builder.packages", "build", repository, "--out", out]
    return run(argv, repository, environment), len(read_wheelhouse(out).packages)


def build_with_pip(packages: tuple[Package, ...], root: Path, environment: dict[str, str]) -> tuple[Usage, int]:
    """Build each package once with `pip wheel`, and the same is told of it."""

    def job(package: Package) -> list[Usage]:
        return [_pip_wheel(package.directory, root / "dist", environment)]

    return _two_at_once("pip wheel of each", packages, job)


def build_in_each_job(packages: tuple[Package, ...], root: Path, environment: dict[str, str]) -> tuple[Usage, int]:
    """Build as the earlier workflow did, and the same is told of it."""
    paths = {package.name: package.path for package in packages}
    core = [paths[name] for name in CORE if name in paths]
    repository = packages[0].directory
    while not (repository / ".git").exists():
        repository = repository.parent

    def job(package: Package) -> list[Usage]:
        clone = root / "jobs" / package.name
        subprocess.run(["git", "clone", "--quiet", repository, clone], check=True)
        webapp = Path("python_modules/dagster-webserver/dagster_webserver/webapp")
        if (repository / webapp).is_dir():
            shutil.copytree(repository / webapp, clone / webapp, dirs_exist_ok=True)
        usages = [_pip_wheel(clone / path, clone / "dist", environment) for path in [*core, package.path]]
        shutil.rmtree(clone)
        return usages

    return _two_at_once("core packages again in each job", packages, job)


def _two_at_once(
    name: str, packages: tuple[Package, ...], job: Callable[[Package], list[Usage]]
) -> tuple[Usage, int]:
    """Run a job for each package: what all took, and the number of builds."""
    started = time.perf_counter()
    usages: list[Usage] = []
    with ThreadPoolExecutor(JOBS) as pool:
        for number, taken in enumerate(pool.map(job, packages), 1):
            usages += taken
            _progress(name, number, len(packages))
    cpu, memory = sum(usage.cpu for usage in usages), max(usage.memory for usage in usages)
    return Usage(time.perf_counter() - started, cpu, memory), len(usages)


def _pip_wheel(directory: Path, out: Path, environment: dict[str, str]) -> Usage:
    argv: list[str | Path] = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out]
    return run([*argv, directory], directory, environment, timeout=TIMEOUT)


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
        own = sorted(runs[1:], key=lambda taken: taken[0].seconds)[(RUNS - 1) // 2]
        rows = {
            "this project": own,
            "`pip wheel` of each": build_with_pip(packages, root, environment),
            "core packages again in each job": build_in_each_job(packages, root, environment),
        }
    table = [["", "wheels built", "time", "processor time", "peak memory"]]
    for name, (taken, count) in rows.items():
        times, busy = taken.seconds / own[0].seconds, taken.cpu / own[0].cpu
        cells = [f"{taken.seconds:.1f} s ({times:.1f})", f"{taken.cpu:.1f} s ({busy:.1f})"]
        table.append([name, str(count), *cells, f"{taken.memory / 1e6:.0f} MB"])
    print(f"{machine(load)}; packages: {len(names)}\n\n{markdown(table)}")


if __name__ == "__main__":
    main()
