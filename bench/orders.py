"""Whether requirements in any order give what bare uv gives for them, and never two series of dagster.

Thirty shuffled sets of requirements of data projects are resolved by bare uv in that order and by the builder.
Where bare uv keeps dagster and dagster-cloud (and dagster's libraries) together, both must agree on every version;
where it does not, the builder must. Takes a quarter of an hour; the result goes to bench/results/orders.json.

    .venv/bin/python bench/orders.py [SETS] [SEED]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builder.project.requirements import read_requirements
from builder.resolution import uv
from builder.resolution.resolve import resolve
from builder.resolution.series import apart
from builder.resolution.target import serverless_target

LIBRARIES = (
    *("dagster-gcp", "dagster-aws", "dagster-dbt", "dagster-snowflake", "dagster-postgres", "dagster-slack"),
    *("dagster-k8s", "dagster-pandas", "dagster-duckdb", "dagster-azure", "dagster-databricks"),
)
OTHERS = (
    *("pandas", "s3fs", "boto3", "beautifulsoup4", "requests", "sqlalchemy", "polars", "pyarrow", "duckdb"),
    *("scikit-learn", "openpyxl", "httpx", "pydantic", "gcsfs", "google-cloud-bigquery", "dlt", "psycopg2-binary"),
    *("snowflake-connector-python", "numpy", "fsspec", "aiobotocore", "tenacity", "jinja2", "slack-sdk", "lxml"),
)
TARGET = serverless_target("3.11")


def bare(directory: Path) -> str:
    """What uv says by itself to the requirements.txt of a directory, as a pylock.toml."""
    command = ["pip", "compile", "requirements.txt", "--format", "pylock.toml", "--no-header", "--no-annotate"]
    command += ["--python-version", "3.11", "--python-platform", TARGET.uv_platform]
    return uv.run(command, cwd=directory).stdout


def versions(pylock: str) -> dict[str, str]:
    """Version by name."""
    return {package["name"]: package["version"] for package in tomllib.loads(pylock)["packages"]}


def main(sets: int, seed: int) -> int:
    """Compare, and say how it went; the exit code is the number of sets that went wrong."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    rows = []
    for number in range(sets):
        chosen = ["dagster", "dagster-cloud"]
        chosen += chance.sample(LIBRARIES, chance.randint(0, 3)) + chance.sample(OTHERS, chance.randint(1, 4))
        chance.shuffle(chosen)
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch)
            (directory / "requirements.txt").write_text("".join(f"{line}\n" for line in chosen), encoding="utf-8")
            started = time.monotonic()
            expected = bare(directory)
            between = time.monotonic()
            requirements = read_requirements(directory, TARGET.markers, _none)
            resolution = resolve(requirements, TARGET)
            finished = time.monotonic()
        together = not apart(expected, requirements.lines)
        found = resolution.lock.versions
        same = found == versions(expected)
        good = same if together else _together(found)
        rows.append(
            {
                "requirements": chosen,
                "bare uv keeps dagster together": together,
                "same answer": same,
                "good": good,
                "dagster": [versions(expected)["dagster"], found["dagster"]],
                "dagster-cloud": [versions(expected)["dagster-cloud"], found["dagster-cloud"]],
                "seconds": [round(between - started, 1), round(finished - between, 1)],
            }
        )
        print(
            number,
            "good" if good else "WRONG",
            "" if together else "(uv alone: apart)",
            *chosen,
            rows[-1]["seconds"],
        )
    path = Path(__file__).parent / "results" / "orders.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return sum(not row["good"] for row in rows)


def _together(found: Mapping[str, str]) -> bool:
    """Whether all of dagster's is of one release: 1.N.P goes with 0.(N+16).P."""
    _one, minor, patch = found["dagster"].split(".")
    release = {found["dagster"], f"0.{int(minor) + 16}.{patch}"}
    return all(found[name] in release for name in ("dagster-cloud", *LIBRARIES) if name in found)


def _none(directory: Path) -> NoReturn:
    message = f"there is no package in {directory}"
    raise AssertionError(message)


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in (sys.argv[1:] + ["30", "1"][len(sys.argv) - 1 :]))))
