"""Take all packages of a real release of dagster from discovery to images, by the commands: bench/README.md.

    python bench/release.py [NUMBER_OF_PACKAGES]    (default: all)

Prints a table in Markdown: seconds, processor time, and the peak memory of the largest process. As root, two
images are built and pushed too, put together and by buildah; the log says how many bytes each sends.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BENCHED = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(BENCHED))

from bench.measuring import measure  # noqa: E402  (found by the line above)
from tests.support.container_registry import PASSWORD, USER, serving_containers  # noqa: E402
from tests.support.containers import container_settings, push_base  # noqa: E402
from tests.support.real_packages import PYPROJECT_ERA, Release, fetch, lay_out  # noqa: E402

_LIBRARIES: Final = """
airbyte airlift aws azure celery celery-docker celery-k8s census clickhouse clickhouse-pandas
clickhouse-polars dask databricks datadog datahub dbt deltalake deltalake-pandas deltalake-polars dlt docker
duckdb duckdb-pandas duckdb-polars duckdb-pyspark fivetran gcp gcp-pandas gcp-pyspark ge github hightouch k8s
looker managed-elements mlflow msteams mysql omni openai pagerduty pandas pandera papertrail polytomic
postgres powerbi prefect prometheus pyspark rest-resources sigma slack sling snowflake snowflake-pandas
snowflake-polars snowflake-pyspark soda spark ssh tableau twilio wandb
"""
WHOLE: Final = Release(
    PYPROJECT_ERA.core,
    PYPROJECT_ERA.libraries,
    (*PYPROJECT_ERA.core_names, "dagster-airflow"),
    (*(f"dagster-{name}" for name in _LIBRARIES.split()), "dagstermill"),
)
"""All packages of the release that come from dagster's repository."""

IMAGES: Final = ("dagster-pipes", "dagster-webserver")


class Run:
    """Runs commands of `builder.packages` and prints a row for each; one that fails ends all."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.environment = environment
        head = ("command", "time", "processor time", "peak memory")
        print(f"| {' | '.join(head)} |\n| --- | ---: | ---: | ---: |", flush=True)

    def __call__(self, shown: str, *arguments: str | Path) -> None:
        """Run one command; its output goes to the log."""
        argv = [sys.executable, "-m", "builder.packages", *arguments]
        with self.log.open("ab") as stream:
            code, usage = measure(argv, self.log.parent, self.environment, stream)
        print(f"| {shown} | {usage.seconds:.1f} s | {usage.cpu:.1f} s | {usage.memory / 1e6:.0f} MB |", flush=True)
        if code:
            sys.exit(f"`{shown}` failed with {code}: {self.log}")


def main() -> None:
    """Lay out the release and run each command once."""
    count = int(sys.argv[1]) if sys.argv[1:] else len(WHOLE.names)
    names = sorted(WHOLE.names, key=lambda name: (name not in IMAGES, name))[:count]
    print(f"load before: {os.getloadavg()[0]:.1f}, packages: {len(names)}\n", flush=True)
    cache = BENCHED / ".pytest_cache" / "d" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["BUILDER_CACHE_DIR"] = str(cache)
    log = cache / "release.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as place:
        root = Path(place).resolve()
        repository = lay_out(fetch(WHOLE, cache), WHOLE.names, root / "repository").path
        house, results = root / "wheelhouse", ("--results", root / "results")
        chosen = ("--select", ",".join(names))
        python = ("--python-version", f"{sys.version_info.major}.{sys.version_info.minor}")
        run = Run(log, {**os.environ, "PYTHONPATH": str(BENCHED)})
        run("discover", "discover", repository)
        run("version", "version", repository, "--build", "42")
        run("build", "build", repository, "--out", house, *chosen, *results)
        run("lock", "lock", house, *chosen, *python, *results)
        # Some fail as their releases do.
        run("check --compare-published", "check", house, *chosen, *python, "--compare-published", *results)
        if os.geteuid() == 0:
            _build_images(run, house, root)
        run("report", "report", root / "results")


def _build_images(run: Run, house: Path, root: Path) -> None:
    (root / "registry").mkdir()
    with serving_containers(root / "registry") as registry, container_settings(root, registry) as containers:
        push_base(registry, Path(os.environ["BUILDER_CACHE_DIR"]))
        run.environment = {**run.environment, **containers.environment}
        login = ("login", "--authfile", root / "auth.json", "--username", USER, "--password", PASSWORD)
        containers.podman(*login, registry.host)
        run.environment |= {"REGISTRY_AUTH_FILE": str(root / "auth.json")}
        base = f"{registry.host}/library/python:3.11-slim"
        for builder in ("direct", "engine"):
            images = root / f"images-{builder}"
            for package in IMAGES:
                wanted = ["--package", package, "--platform", "linux/amd64", "--builder", builder]
                more: list[str | Path] = ["--wheelhouse", house, "--out", images, "--base", base]
                more += ["--source", "https://github.com/acme/dagster"]
                run(f"image {package} --builder {builder}", "image", *wanted, *more)
            layouts = (images / package for package in IMAGES)
            run(f"push of both ({builder})", "push", *layouts, "--to", f"{registry.host}/{builder}")


if __name__ == "__main__":
    main()
