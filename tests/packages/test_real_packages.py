"""Real dagster packages with setup.py and with pyproject.toml, from discovery to an import from the wheelhouse."""

from __future__ import annotations

import re
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from builder.packages import git, selection
from builder.packages.building import build_wheelhouse
from builder.packages.checks import check_packages
from builder.packages.discover import discover
from builder.packages.locks import lock_package, write_lock
from builder.packages.releases import releases_of
from builder.packages.rewriting import plan_rewriting
from builder.packages.versions import next_versions
from builder.packages.wheelhouse import Wheelhouse
from builder.resolution import uv
from builder.system import process, storage
from tests.support.monorepo import add_special_packages
from tests.support.real_packages import PYPROJECT_ERA, SETUP_PY_ERA, Release, fetch, lay_out

pytestmark = [pytest.mark.slow, pytest.mark.network]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

SPECIAL = ("dagster-broken", "dagster-cron")
"""What is added to each release: see `add_special_packages`."""

_CHECKED = {
    PYPROJECT_ERA: ("dagster-celery-docker", "dagster-cloud-cli", "dagster-webserver"),
    SETUP_PY_ERA: ("dagster-webserver",),
}
"""Each with a lock and an environment of its own; all are imported together, for the sake of time."""

_IMPORT = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"


@pytest.mark.parametrize(
    "release, count", [(PYPROJECT_ERA, 18), (SETUP_PY_ERA, 11)], ids=["pyproject.toml", "setup.py"]
)
def test_a_release_goes_all_the_way(
    tmp_path: Path, pytestconfig: pytest.Config, release: Release, count: int
) -> None:
    assert len(release.names) == count
    assert pytestconfig.cache is not None
    files = fetch(release, pytestconfig.cache.mkdir("real-packages"))
    laid_out = lay_out(files, release.names, tmp_path / "repository")
    add_special_packages(laid_out, release.core, release.libraries)
    root = laid_out.path

    # Discovered.
    found = discover(root)
    assert found.names == sorted([*release.names, *SPECIAL])
    families = {name: found.package(name).family for name in found.names}
    assert {name for name, family in families.items() if family == "core"} == set(release.core_names)
    assert {name for name, family in families.items() if family == "libraries"} == {
        *release.library_names,
        *SPECIAL,
    }
    assert [package.name for package in found.packages if package.declared.native] == ["dagster-cron"]
    assert [package.name for package in found.packages if package.webapp] == ["dagster-webserver"]

    # Versioned.
    wanted = next_versions(releases_of(found), build=42, commit=git.commit_of(root) or "")
    assert re.fullmatch(r"1\.\d+\.(22|28)a0\.dev42\+g[0-9a-f]{7}", wanted.core)
    plan_rewriting(found, wanted).apply()
    repository = discover(root)

    # Each is built once, and equals the published wheel except for the versions.
    packages = selection.with_siblings(repository, selection.select(repository, ["all"]))
    build = build_wheelhouse(repository, packages, tmp_path / "house", source_date_epoch=None, workers=2)
    assert [(failure.name, failure.error.detail) for failure in build.failures] == []
    house = build.wheelhouse
    assert [package.name for package in house.packages] == found.names
    versions = {wanted.core: release.core, wanted.libraries: release.libraries}
    for package in house.packages:
        assert package.version == repository.package(package.name).version
        if package.name not in SPECIAL:
            mine = _content(house.wheel_path(package), versions)
            assert mine == _content(files.wheels[package.name], {}), package

    # Locked.
    wanted_names = {*_CHECKED[release], *SPECIAL}
    chosen = tuple(package for package in house.packages if package.name in wanted_names)
    with ThreadPoolExecutor(2) as pool:
        locked = list(pool.map(lambda package: lock_package(house, package, PYTHON), chosen))
    for lock in locked:
        assert {lock.package.name, *lock.package.requires} <= set(lock.local)
        write_lock(house, lock)

    # Installed from the wheelhouse and imported.
    passed, failures = check_packages(house, chosen, Path(sys.executable), workers=2)
    assert [package.name for package in passed] == sorted(wanted_names - {"dagster-broken"})
    (failure,) = failures
    assert failure.excuse == "known: does not declare undeclared (since 2026-11-30)"
    _import_all(house)


def _content(wheel: Path, versions: dict[str, str]) -> tuple[dict[str, bytes], set[str]]:
    """The files and the requirements of a wheel, with its versions replaced.

    The other metadata is left out, since it depends on the backend's version.
    """
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    (metadata,) = (content for name, content in files.items() if name.endswith(".dist-info/METADATA"))
    requires = {
        str(requirement) for requirement in Metadata.from_email(metadata, validate=False).requires_dist or ()
    }
    for old, new in versions.items():
        requires = {requirement.replace(old, new) for requirement in requires}
        files = {name: content.replace(old.encode(), new.encode()) for name, content in files.items()}
    return {name: content for name, content in files.items() if ".dist-info/" not in name}, requires


def _import_all(house: Wheelhouse) -> None:
    """Install all packages of a wheelhouse that can work, with dependencies from the index, and import them."""
    packages = [package for package in house.packages if package.name != "dagster-broken"]
    with storage.scratch_directory(storage.cache_directory() / "checks") as scratch:
        venv = scratch / "venv"
        uv.run(["venv", "--quiet", "--python", sys.executable, venv])
        wheels = [house.wheel_path(package) for package in packages]
        uv.run(["pip", "install", "--quiet", "--python", venv / "bin/python", *wheels])
        uv.run(["pip", "check", "--python", venv / "bin/python"])
        names = [name for package in packages for name in package.import_names]
        assert {name.replace("_", "-") for name in names} == {package.name for package in packages}
        process.run(
            [venv / "bin/python", "-I", "-c", _IMPORT, *names], env=process.clean_environment(), cwd=scratch
        )
