"""The commands that the first README promised, as they stand there, by builder.pex itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import CloudServer
from tests.support.deploying import Deploying, deploying

WORKSPACE = """\
locations:
  - location_name: sales
    code_source:
      python_file: answer.py
"""
LOCAL = "deployment=prod,commit_hash=local12345"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deploying]:
    with deploying(tmp_path) as made:
        made.place.project({"dagster_cloud.yaml": WORKSPACE})
        yield made


def run(here: Deploying, builder_pex: Path, line: str, cloud: CloudServer | None = None) -> str:
    """A line of the README, by the shell, with the placeholders as variables; what it wrote to stdout."""
    finished = subprocess.run(
        ["/bin/sh", "-ec", f'builder_pex() {{ "$BUILDER_PEX" "$@"; }}\n{line}'],
        env={
            **{name: value for name, value in here.place.environment.items() if name != "PYTHONPATH"},
            **(cloud.environ() if cloud else {}),
            "BUILDER_PEX": str(builder_pex),
            "PROJECT_DIR": str(here.place.root / "project"),
            "OUT_DIR": str(here.place.out),
        },
        cwd=here.place.root,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    here.said += [finished.stdout, finished.stderr]
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_building(here: Deploying, builder_pex: Path) -> None:
    run(here, builder_pex, 'builder_pex -m builder.source "$PROJECT_DIR" "$OUT_DIR"')
    run(here, builder_pex, 'builder_pex -m builder.deps "$PROJECT_DIR" "$OUT_DIR"')
    run(here, builder_pex, 'builder_pex -m builder.deploy "$PROJECT_DIR"/dagster_cloud.yaml "$OUT_DIR"')
    assert (here.place.out / here.built()["deps"]["file"]).exists()
    run(
        here,
        builder_pex,
        'builder_pex -m builder.deploy --python-version=3.9 "$PROJECT_DIR"/dagster_cloud.yaml "$OUT_DIR"',
    )
    assert run(here, builder_pex, "builder_pex -m dagster_cloud_cli.entrypoint --version").strip()
    assert "1.13.27" in run(here, builder_pex, "builder_pex -m dagster --version")


def test_deploying(here: Deploying, builder_pex: Path) -> None:
    # The projects of these tests have no real dagster to be loaded with.
    deploy = 'builder_pex -m builder.deploy "$PROJECT_DIR"/dagster_cloud.yaml "$OUT_DIR"  --upload-pex --no-verify'
    run(here, builder_pex, deploy, here.cloud)
    assert here.sent() == ["deps", "source"]
    assert here.cloud.locations("prod") == {}
    run(here, builder_pex, f"{deploy}  --update-code-location --code-location-details {LOCAL}", here.cloud)
    here.assert_whole()
    assert here.cloud.locations("prod")["sales"]["git"] == {"commit_hash": "local12345"}
    cached = (
        f"{deploy} --deps-cache-tag-read=local --deps-cache-tag-write=local --update-code-location"
        f" --code-location-details {LOCAL}"
    )
    run(here, builder_pex, cached, here.cloud)
    assert len(here.records()) == 1
    assert "cached: neither built nor sent" in run(here, builder_pex, f"{cached} --plan", here.cloud)
