"""Tests of a group run in one worker: what they share is made once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from builder.system import process
from tests.support.programs import REPOSITORY

TESTS = """
import pytest

@pytest.mark.xdist_group("those")
@pytest.mark.parametrize("number", range(6))
def test_it(number):
    pass
"""


def test_tests_of_a_group_run_in_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_those.py").write_text(TESTS, encoding="utf-8")
    options = ("-v", "--numprocesses=2", "--dist=loadgroup", "-p", "tests.conftest")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path],
        cwd=tmp_path,
        env=process.clean_environment({"PYTHONPATH": str(REPOSITORY)}),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    workers = re.findall(r"^\[(gw\d)\] .* PASSED ", finished.stdout, re.MULTILINE)
    assert len(workers) == 6
    assert len(set(workers)) == 1
