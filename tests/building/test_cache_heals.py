"""Whatever is corrupt in the cache is noticed and made again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.resolution import resolution_cache
from builder.resolution.transport import Transport
from builder.system import storage
from tests.support.commands import Workshop, make_sdist, put_setuptools, workshop
from tests.support.damage import damaged, kinds_of_files
from tests.support.programs import REPOSITORY

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


HERE = "tests/building/test_cache_heals.py"
IMAGES = "tests/delivery/test_deploy_images.py::test_a_flipped_byte_in_the_cache_makes_no_other_image"
HEALED_IN = {
    **dict.fromkeys(
        ("sha256", "local", "built", "sboms", "bootstrap-"),
        f"{HERE}::test_one_flipped_byte_in_each_kind_of_file_heals",
    ),
    "resolutions": f"{HERE}::test_a_corrupt_resolution_is_made_again",
    **dict.fromkeys(("layers", "base-images"), IMAGES),
    **dict.fromkeys(("exports", "certificates"), f"{HERE}::test_what_is_kept_by_its_hash_is_not_taken_damaged"),
    "tools": "tests/cache/test_cache.py::test_a_damaged_uv_is_fetched_again",
    "loads": "tests/delivery/test_deploy_verify.py::test_a_record_that_is_old_or_damaged_is_not_used",
    "boot": "tests/builder_pex/test_boot_cache.py::test_heals_its_cache",
    # The web server is kept as the dependencies are.
    **dict.fromkeys(
        ("verify", "preview"),
        "tests/verification/test_verify_unpack.py::test_a_deps_pex_is_unpacked_once_and_again_when_it_is_damaged",
    ),
}
"""Where it is tested that damage to each part of the cache heals."""

OF_OTHERS = {"uv", "containers"}
"""What uv, and the engine that builds images, look after themselves."""

SCRATCH = {"checks"}
"""Where nothing is kept."""


def test_each_part_of_the_cache_has_a_test() -> None:
    places: set[str] = set()
    for path in (REPOSITORY / "builder").rglob("*.py"):
        places |= set(re.findall(r'cache_directory\(\) / f?"([a-z0-9-]+)', path.read_text(encoding="utf-8")))
    boot = (REPOSITORY / "scripts" / "builder_pex_boot.py").read_text(encoding="utf-8")
    assert places | set(re.findall(r'"(boot)"', boot)) == HEALED_IN.keys() | OF_OTHERS | SCRATCH
    for test in HEALED_IN.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (REPOSITORY / file).read_text(encoding="utf-8")


def test_one_flipped_byte_in_each_kind_of_file_heals(shop: Workshop) -> None:
    project = shop.project({"pyproject.toml": PYPROJECT, "app.py": ""})
    entry = f"{{location_name: a, code_source: {{module_name: app}}, build: {{directory: {project}}}}}"
    workspace = shop.workspace(f"locations: [{entry}]\n")

    def build() -> dict[str, bytes]:
        shop.run("deploy", workspace, shop.out).succeeded()
        return {path.name: path.read_bytes() for path in shop.out.glob("*.pex")}

    before = build()
    assert len(before) == 2
    kinds = kinds_of_files(shop.cache)
    parts = {part for part, _suffix in kinds}
    assert {part for part in HEALED_IN if HEALED_IN[part].startswith(f"{HERE}::test_one_")} == {
        re.sub(r"^bootstrap-.*", "bootstrap-", part) for part in parts - OF_OTHERS
    }
    for kind, path in kinds.items():
        if kind[0] in OF_OTHERS:
            continue
        path.write_bytes(damaged(path.read_bytes()))
        assert build() == before, kind
    # All that is cut off, at once.
    for path in shop.cache.rglob("*"):
        if path.is_file() and path.suffix != ".lock" and path.relative_to(shop.cache).parts[0] not in OF_OTHERS:
            path.write_bytes(path.read_bytes()[:-10])
    assert build() == before


def test_what_is_kept_by_its_hash_is_not_taken_damaged(empty_cache: Path, tmp_path: Path) -> None:
    kept = storage.keep(empty_cache / "exports" / "x", "requirements.txt", b"foo==1\n")
    kept.write_bytes(damaged(kept.read_bytes()))
    assert storage.kept(empty_cache / "exports" / "x") is None
    files = [tmp_path / "a.pem", tmp_path / "b.pem"]
    for file in files:
        file.write_text(file.name)
    access = Transport(certificates=tuple(map(str, files)))
    bundle = Path(access.variables()["SSL_CERT_FILE"])
    content = bundle.read_bytes()
    bundle.write_bytes(damaged(content))
    assert Path(access.variables()["SSL_CERT_FILE"]).read_bytes() == content


def test_a_corrupt_resolution_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    resolution_cache.save(path, "text")
    assert resolution_cache.load(path) == ("text", 0)
    path.write_text(path.read_text()[:-1])
    assert resolution_cache.load(path) is None
