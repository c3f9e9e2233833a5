"""builder.selftest tells what works and what does not, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import __version__
from builder.assembly.bootstrap import PEX_VERSION
from builder.resolution import uv
from tests.support.commands import DAGSTER, Ran, Workshop, workshop


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made


def checks(ran: Ran) -> dict[str, str]:
    """The lines by what they are about: the mark and the text, with the hint that follows."""
    assert "Traceback" not in ran.stderr, ran.stderr
    found = {}
    for line in ran.stdout.replace("\n  hint: ", " hint: ").splitlines():
        mark, name, text = line.split(" ", 2)
        found[name.removesuffix(":")] = f"{mark} {text}"
    return found


def failing(ran: Ran) -> set[str]:
    return {name for name, text in checks(ran).items() if not text.startswith("✓")}


def test_all_is_well_in_builder_pex(builder_pex: Path, place: Workshop) -> None:
    finished = subprocess.run(
        [sys.executable, builder_pex, "-m", "builder.selftest"],
        env=place.environment,
        cwd=place.root,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    ran = Ran(finished.returncode, finished.stdout, finished.stderr)
    assert ran.code == 0, ran
    seen = checks(ran)
    assert list(seen) == [
        "builder",
        "python",
        "pex",
        "uv",
        "dagster",
        "dagster-cloud-cli",
        "targets",
        "cache",
        "index",
        "build",
    ]
    assert seen["builder"] == f"✓ {__version__} in {builder_pex}"
    assert seen["pex"] == f"✓ {PEX_VERSION}"
    assert seen["uv"].startswith(f"✓ {uv.pinned_version()} at ")
    assert seen["dagster"] == seen["dagster-cloud-cli"] == f"✓ {DAGSTER}"
    assert any("dagster" in request for request in place.index.requests)
    place.assert_clean()


def test_an_index_that_is_away(place: Workshop) -> None:
    away = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/"}
    ran = place.run("selftest", env=away)
    assert ran.code == 1
    assert failing(ran) == {"index"}
    assert "refused" in checks(ran)["index"]
    assert "hint: Check the network" in checks(ran)["index"]

    offline = place.run("selftest", "--offline", env=away)
    assert offline.code == 0
    assert "index" not in checks(offline)


def test_for_machines(place: Workshop) -> None:
    ran = place.run("selftest", "--json", "--offline")
    found = json.loads(ran.stdout)
    assert {"name": "pex", "ok": True, "text": PEX_VERSION, "remedy": ""} in found
    assert ran.code == 0


def test_a_cache_that_cannot_be_written(place: Workshop) -> None:
    (place.root / "file").touch()
    ran = place.run("selftest", "--offline", env={"BUILDER_CACHE_DIR": str(place.root / "file" / "cache")})
    assert ran.code == 1
    assert "cache" in failing(ran)
    assert "could not write" in checks(ran)["cache"]
    assert "hint: " in checks(ran)["cache"]


def test_a_program_that_does_not_work(place: Workshop) -> None:
    broken = place.root / "uv"
    write_program(broken, "echo no such luck >&2; exit 3")
    ran = place.run("selftest", "--offline", env={"BUILDER_UV": str(broken)})
    assert failing(ran) == {"uv"}
    assert "no such luck" in checks(ran)["uv"]
    assert ran.code == 1


def test_which_target_pythons_are_on_path(place: Workshop) -> None:
    tools = place.root / "tools"
    tools.mkdir()
    write_program(tools / "python3.9", "exit 127")
    write_program(tools / "python3.11", f'exec "{sys.executable}" "$@"')
    ran = place.run("selftest", "--offline", env={"PATH": str(tools)})
    assert checks(ran)["targets"] == (
        "✓ working: 3.11; on PATH, but not working: 3.9; not on PATH: 3.10, 3.12, 3.13, 3.14"
    )


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
