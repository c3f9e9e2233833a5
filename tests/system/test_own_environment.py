"""The token of the running builder is in nothing that `/proc` shows of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.commands import put_setuptools, workshop
from tests.support.programs import REPOSITORY

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

_LOOK = """
import glob
with open({seen!r}, "ab") as stream:
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            stream.write(open(path, "rb").read())
        except OSError:
            pass
from setuptools import setup
setup(name="shop", version="1.0", py_modules=["shop"])
"""

_HIDING = """
import ctypes, os
from builder.system.own_environment import hide_secrets
hide_secrets()
print(os.environ["MY_TOKEN"], os.environ["ORDINARY"], ctypes.CDLL(None).prctl(3))
print(open("/proc/self/environ").read())
"""


def test_a_setup_py_that_looks_into_every_process_finds_no_token(tmp_path: Path) -> None:
    with workshop(tmp_path) as place:
        put_setuptools(place.index.directory)
        seen = tmp_path / "seen"
        project = place.project({"setup.py": _LOOK.format(seen=str(seen)), "shop.py": ""})
        secrets = {
            "DAGSTER_CLOUD_API_TOKEN": "canary-of-the-token",
            "UV_INDEX_PRIV_PASSWORD": "canary-of-the-index",
        }
        arguments = ("source", project, place.out, "--python-version", RUNNING)
        # Forked from another process, as usual here, it would begin with the environment of that one.
        ran = place.start(*arguments, env={**secrets, "ORDINARY": "ordinary-value"}, python=[sys.executable])
        ran.finish().succeeded()
    environments = seen.read_bytes()
    assert b"ordinary-value" in environments
    assert b"canary" not in environments


def test_the_builder_keeps_its_variables_and_lets_nobody_look_into_it() -> None:
    environment = {"PYTHONPATH": str(REPOSITORY), "MY_TOKEN": "canary", "ORDINARY": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", _HIDING], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    first, _, shown = ran.stdout.partition("\n")
    # 0 is what `PR_GET_DUMPABLE` says of a process whose memory others of its user may not read.
    assert first == "canary 1 0"
    assert "ORDINARY=1" in shown
    assert "canary" not in shown
