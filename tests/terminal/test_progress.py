"""What a build says of its long steps while they last, where there is no terminal."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from builder.terminal.formatting import size
from tests.support.commands import Running, Workshop, make_sdist
from tests.support.index import Fault
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

# Runs a command as `python -m` does, but for the time that it takes to be impatient.
IMPATIENT = """
import runpy
import sys

import builder.terminal.console

builder.terminal.console.STATUS_LINE_SECONDS = 0.02
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""

BACKEND = """
import pathlib, time, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    while not pathlib.Path({permission!r}).exists():
        time.sleep(0.02)
    name = "homemade-1.0-py3-none-any.whl"
    info = "homemade-1.0.dist-info/"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("homemade.py", "")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def start(place: Workshop, name: str, *options: str) -> Running:
    """Have a project built that needs what has this name."""
    script = place.root / "impatient.py"
    script.write_text(IMPATIENT, encoding="utf-8")
    project = place.project({"requirements.txt": f"dagster\ndagster-cloud\n{name}\n"})
    arguments: list[str | Path] = [project, place.out, "--python-version", RUNNING, *options]
    return place.start("deps", *arguments, python=(sys.executable, script))


def stop(running: Running) -> None:
    running.send(signal.SIGTERM)
    assert running.finish().code == 128 + signal.SIGTERM


def put_sdist(place: Workshop) -> Path:
    """An sdist that builds as soon as there is the file that is returned."""
    permission = place.root / "permission"
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": system, "backend.py": BACKEND.format(permission=str(permission))}
    make_sdist(place.index.directory, files, name="homemade")
    return permission


def test_resolving_tells_how_long_it_takes(place: Workshop) -> None:
    place.index.misbehave("/simple/dagster/", Fault.STALL)
    running = start(place, "dagster")
    assert re.fullmatch(r"  … still resolving, \d+ s\n", running.wait_for("resolving"))
    stop(running)


def test_fetching_tells_how_many_bytes_have_come_of_how_many(place: Workshop) -> None:
    shelf = place.index.directory
    noise = os.urandom(4_000_000)
    wheel = make_wheel(shelf, {"bulky.bin": noise}, name="bulky", version="1.0")
    total = sum(path.stat().st_size for path in shelf.glob("*.whl"))
    place.index.misbehave(wheel.path.name, Fault.STALL)
    running = start(place, "bulky")
    line = running.wait_for(f" MB of {size(total)}")
    assert re.match(r"  … still fetching \S+, [12]\.\d MB of ", line)
    stop(running)


def test_each_source_distribution_that_is_being_built_is_named(place: Workshop) -> None:
    permission = put_sdist(place)
    running = start(place, "homemade")
    assert re.fullmatch(r"  … still building homemade==1\.0, \d+ s\n", running.wait_for("building"))
    permission.touch()
    running.finish().succeeded()


def test_quiet_says_nothing_of_all_that(place: Workshop) -> None:
    put_sdist(place).touch()
    ran = start(place, "homemade", "--quiet").finish().succeeded()
    assert ran.stderr == ""
    assert "deps-" in ran.stdout
