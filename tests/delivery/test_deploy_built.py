"""One job builds, without secrets; another delivers what it built, without running any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploying import Deploying, deploying

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Deploying]:
    """Two locations, built by a job that knows nothing of Dagster Cloud; then their code is another."""
    with deploying(tmp_path) as made:
        workspace = made.locations("sales", "stock")
        made.place.run("deploy", workspace, made.place.out).succeeded()
        made.run_before("sales", "stock")
        made.change("sales")
        yield made


def test_what_was_built_is_delivered_and_nothing_is_built(built: Deploying) -> None:
    (built.place.root / "project sales" / "setup.py").write_text("raise SystemError('it is run')\n")
    ran = built.deploy("--built").succeeded()
    assert "uv" not in ran.stderr
    for name in ("sales", "stock"):
        built.assert_whole(name)


def test_a_file_that_is_not_what_was_built_is_not_delivered(built: Deploying) -> None:
    file = built.place.out / built.built("sales")["source"]["file"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    error = built.deploy("--built").failed()
    assert "location `sales`" in error
    assert "is not the file that was built" in error
    built.assert_untouched("sales")
    built.assert_whole("stock")


@pytest.mark.parametrize("name", ["../outside.pex", "/etc/hostname", "source-0.pex", "build.json"])
def test_build_json_names_nothing_but_pex_files_beside_it(built: Deploying, name: str) -> None:
    (built.place.root / "outside.pex").write_text("private")
    (built.place.out / "source-0.pex").symlink_to(built.place.root / "outside.pex")
    path = built.place.out / "build.json"
    report = json.loads(path.read_text())
    report["locations"][0]["source"]["file"] = name
    path.write_text(json.dumps(report))
    assert "is not in" in built.deploy("--built").failed()
    built.assert_untouched("sales")
    built.assert_whole("stock")


def test_without_a_build_it_is_an_error(built: Deploying) -> None:
    path = built.place.out / "build.json"
    for content in ("", "[]", '{"locations": [{}]}'):
        path.write_text(content)
        assert "not what builder.deploy writes" in built.deploy("--built").failed(2)
    path.write_text(json.dumps({"python_version": "3.9", "locations": []}))
    assert "is for Python 3.9" in built.deploy("--built").failed(2)
