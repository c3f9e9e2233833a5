"""Same inputs, same bytes: whoever builds, wherever and whenever."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, Workshop, make_sdist, put_setuptools, workshop
from tests.support.pythons import any_python
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.slow

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

_FILES = {
    "setup.py": (
        "from setuptools import find_packages, setup\n"
        "setup(name='shop', version='1.0', packages=find_packages(), package_data={'shop': ['data/*']},\n"
        "      entry_points={'console_scripts': ['shop = shop:main']},\n"
        "      keywords=list(set('abcdefghijkl')),\n"
        "      install_requires=['dagster', 'dagster-cloud', 'homemade', 'many-parts', 'tool'])\n"
    ),
    "shop/__init__.py": "def main(): pass\n",
    "shop/data/prices.csv": "1,2\n",
    "shop/deep/__init__.py": "",
    "shop/deep/er/__init__.py": "",
    "run.sh": "#!/bin/sh\necho run\n",
    "Größe 尺寸.txt": "5\n",
    "a/b/c.sql": "select 1\n",
    "a/b.sql": "select 2\n",
    "B.sql": "select 3\n",
    "dagster_cloud.yaml": "locations:\n  - {location_name: shop, code_source: {package_name: shop}}\n",
}

_BACKEND = """
import os, time, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(os.path.join(directory, "homemade-1.0-py3-none-any.whl"), "w") as wheel:
        info = "homemade-1.0.dist-info/"
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
        wheel.writestr(info + "RECORD", "")
        wheel.writestr("homemade.py", "x = 1\\n" * 1000)
    return "homemade-1.0-py3-none-any.whl"
"""

Written = dict[str, tuple[int, bytes]]
"""Mode and content of files, by name."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        shelf = made.index.directory
        put_setuptools(shelf)
        system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        make_sdist(shelf, {"pyproject.toml": system, "backend.py": _BACKEND}, name="homemade")
        for name in ("many-parts", "tool"):
            module = name.replace("-", "_")
            files = {f"{module}/{part}.py": f"x = {part}\n" * part for part in range(20)}
            make_wheel(shelf, files, name=name, entry_points=f"[console_scripts]\n{name} = {module}:main\n")
        yield made


def write_project(directory: Path, *, backwards: bool = False, file_mode: int = 0o644, mtime: int = 0) -> Path:
    """The project; what no version control keeps is as the arguments say."""
    for name in sorted(_FILES, reverse=backwards):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_FILES[name], encoding="utf-8")
        path.chmod(file_mode)
    (directory / "run.sh").chmod(file_mode | 0o111)
    (directory / "latest.sql").symlink_to("a/b/c.sql")
    (directory / "empty").mkdir()
    if mtime:
        for path in directory.rglob("*"):
            os.utime(path, (mtime, mtime), follow_symlinks=False)
    return directory


def build(
    place: Workshop,
    project: Path,
    name: str,
    *,
    env: dict[str, str] | None = None,
    umask: int = 0o22,
    python: tuple[str | Path, ...] = (sys.executable,),
) -> Written:
    """What `builder.deploy` writes, but for its report of this run."""
    out = place.root / f"out of {name}"
    options = ("--python-version", RUNNING)
    workspace = project / "dagster_cloud.yaml"
    ran: Ran = place.start("deploy", workspace, out, *options, env=env, umask=umask, python=python).finish()
    ran.succeeded()
    written = {
        path.name: (path.stat().st_mode, path.read_bytes()) for path in out.iterdir() if path.name != "build.json"
    }
    assert sorted(name.partition("-")[0] for name in written) == ["deps", "deps", "deps", "source"]
    modes = {Path(name).suffix: mode & 0o777 for name, (mode, _) in written.items()}
    assert modes == {".pex": 0o755, ".toml": 0o644, ".json": 0o644}
    return written


def assert_equal(one: Written, other: Written) -> None:
    # Names first: they tell more than bytes that differ.
    assert sorted(one) == sorted(other)
    assert not [name for name in one if one[name] != other[name]]


def wheels_asked_for(place: Workshop) -> list[str]:
    return [name for name in place.index.downloads() if name.endswith(".whl")]


def test_neither_the_directory_nor_the_order_nor_the_times_of_files_matter(place: Workshop) -> None:
    one = write_project(place.root / "one")
    other = write_project(place.root / "an other" / "place ä", backwards=True, mtime=1_000_000_000)
    first = build(place, one, "one")
    place.new_cache()
    assert_equal(first, build(place, other, "other"))


def test_neither_umask_nor_locale_nor_time_zone_nor_hash_seed_matter(place: Workshop) -> None:
    private = write_project(place.root / "private", file_mode=0o600)
    shared = write_project(place.root / "shared", file_mode=0o664)
    one = {"LC_ALL": "C", "TZ": "America/St_Johns", "PYTHONHASHSEED": "1"}
    other = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2", "SOURCE_DATE_EPOCH": "1"}
    first = build(place, private, "private", env=one, umask=0o77)
    place.new_cache()
    assert_equal(first, build(place, shared, "shared", env=other, umask=0o02))


def test_a_full_cache_gives_what_an_empty_one_gives(place: Workshop) -> None:
    project = write_project(place.root / "project")
    first = build(place, project, "first")
    asked = wheels_asked_for(place)
    assert_equal(first, build(place, project, "second"))
    assert wheels_asked_for(place) == asked


def test_what_is_built_already_is_written_again_with_the_same_bytes(place: Workshop) -> None:
    project = write_project(place.root / "project")
    assert_equal(build(place, project, "same"), build(place, project, "same"))


def test_builder_pex_under_every_python_writes_the_same_bytes(place: Workshop, builder_pex: Path) -> None:
    project = write_project(place.root / "project")
    del place.environment["PYTHONPATH"]
    built = []
    for version in ("3.11", "3.12"):
        place.new_cache()
        built.append(build(place, project, version, python=(any_python(version), builder_pex)))
    assert_equal(*built)


def test_another_file_or_another_mode_has_another_name(place: Workshop) -> None:
    project = place.project({"dagster_cloud.yaml": _FILES["dagster_cloud.yaml"], "a.sql": "select 1\n"})
    names = [build(place, project, "first").keys()]
    (project / "a.sql").write_text("select 2\n")
    names.append(build(place, project, "second").keys())
    (project / "a.sql").chmod(0o755)
    names.append(build(place, project, "third").keys())
    assert len(set[str]().union(*names)) == 3 + 3


def test_another_version_of_a_distribution_has_another_name(place: Workshop) -> None:
    project = place.project(
        {"dagster_cloud.yaml": _FILES["dagster_cloud.yaml"], "requirements.txt": "dagster\ndagster-cloud\ntool\n"}
    )
    first = build(place, project, "first")
    make_wheel(place.index.directory, {"tool/new.py": ""}, name="tool", version="1.1")
    second = build(place, project, "second")
    assert [name.partition("-")[0] for name in first.keys() & second.keys()] == ["source"]
