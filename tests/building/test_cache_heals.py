"""Whatever is corrupt in the cache is noticed and made again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.resolution import resolution_cache
from tests.support.commands import Workshop, make_sdist, put_setuptools, workshop

PYPROJECT = """
[project]
name = "app"
version = "1.0"
dependencies = ["dagster", "dagster-cloud", "old"]
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[tool.setuptools]
py-modules = ["app"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as place:
        put_setuptools(place.index.directory)
        build_system = '[build-system]\nrequires = ["setuptools"]\n[project]\nname = "old"\nversion = "1.0"\n'
        files = {"pyproject.toml": build_system + '[tool.setuptools]\npy-modules = ["old"]\n', "old.py": ""}
        make_sdist(place.index.directory, files, name="old")
        yield place
        place.assert_clean()


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_corrupt_cache_heals(shop: Workshop, damage: str) -> None:
    project = shop.project({"pyproject.toml": PYPROJECT, "app.py": ""})
    entry = f"{{location_name: a, code_source: {{module_name: app}}, build: {{directory: {project}}}}}"
    workspace = shop.workspace(f"locations: [{entry}]\n")
    shop.run("deploy", workspace, shop.out).succeeded()
    before = {path.name: path.read_bytes() for path in shop.out.glob("*.pex")}
    # What is made by uv is uv's to look after.
    kinds = {path.name for path in shop.cache.iterdir() if path.is_dir()} - {"uv"}
    assert kinds >= {"sha256", "local", "built", "sboms"}
    for kind in sorted(kinds):
        files = [path for path in (shop.cache / kind).rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert files, kind
        for path in files:
            content = path.read_bytes()
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            path.write_bytes(content[:-10] if damage == "cut" else flipped)

        shop.run("deploy", workspace, shop.out).succeeded()

        assert {path.name: path.read_bytes() for path in shop.out.glob("*.pex")} == before, kind
    assert len(before) == 2


def test_a_corrupt_resolution_is_made_again(tmp_path: Path) -> None:

    path = tmp_path / "lock"
    resolution_cache.save(path, "text")
    assert resolution_cache.load(path) == ("text", 0)
    path.write_text(path.read_text()[:-1])
    assert resolution_cache.load(path) is None
