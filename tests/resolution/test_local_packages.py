"""Building local packages with the same version, files and requirements as the project's own tool.

The expected result is what `uv build` makes of a clone of the same checkout, in the same test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from builder.project.requirement_lines import path_of_url
from builder.resolution import uv
from builder.resolution.backend import LocalPackages
from builder.resolution.build_inputs import inputs_of
from builder.system import storage
from tests.support.local_packages import PYTHON, everything, system
from tests.support.package_shapes import SHAPES, lay_out

HATCH = "[tool.hatch.metadata]\nallow-direct-references = true\n"
BACKENDS = {"hatchling": "hatchling", "pdm": "pdm-backend"}

pytestmark = [pytest.mark.slow, pytest.mark.network]


def facts(wheel: Path) -> tuple[str, list[str], list[str]]:
    """The wheel's file name, the files in it, and its requirements."""
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith(("/RECORD", "/")))
        (member,) = (name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        text = archive.read(member).decode()
    return wheel.name, names, sorted(re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE))


def built_by_uv(root: Path, package: str, scratch: Path) -> tuple[str, list[str], list[str]]:
    copy = scratch / "theirs" / root.parent.name / root.name
    shutil.copytree(root, copy, symlinks=True)
    env = {**os.environ, "UV_CACHE_DIR": str(storage.cache_directory() / "uv")}
    arguments = ["build", "--wheel", "--python", PYTHON, "--out-dir", str(scratch / "out"), str(copy / package)]
    subprocess.run([str(uv.executable()), *arguments], env=env, check=True, capture_output=True)
    name, names, requires = facts(next((scratch / "out").glob("*.whl")))
    return name, names, [text.replace(str(copy), str(root)) for text in requires]


NEIGHBOURS = {
    "hatchling": ("hatchling.build", ["{root:parent:parent:uri}", "{root:parent:uri}/.."], HATCH),
    "pdm": ("pdm.backend", ["file:///${PROJECT_ROOT}/../.."], ""),
}


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_neighbours_named_by_their_place_are_found_outside_git_too(kind: str, tmp_path: Path) -> None:
    backend, places, more = NEIGHBOURS[kind]
    package = tmp_path / "one/apps/a"
    (package / "a").mkdir(parents=True)
    (package / "a/__init__.py").write_text("")
    listed = ", ".join(f'"shared{number} @ {place}/shared"' for number, place in enumerate(places))
    head = f'[project]\nname = "a"\nversion = "1.0"\ndependencies = [{listed}]\n'
    (package / "pyproject.toml").write_text(head + system(backend, BACKENDS[kind]) + more)
    for requires in (LocalPackages(PYTHON).metadata(package).requires, built(package)):
        found = [path_of_url(text.partition(" @ ")[2], package) for text in requires]
        assert found == [tmp_path / "one/shared"] * len(places)


def built(package: Path) -> tuple[str, ...]:
    return tuple(LocalPackages(PYTHON).metadata_of_wheel(package).requires)


@pytest.mark.parametrize("name", SHAPES)
def test_a_package_is_built_as_its_own_tool_builds_it(name: str, root: Path, tmp_path: Path) -> None:
    shape = SHAPES[name]
    package = lay_out(shape, root)
    before = everything(root)
    packages = LocalPackages(PYTHON)
    wheel = packages.wheel(package)
    assert everything(root) == before
    ours = facts(wheel)
    name, files, requires = built_by_uv(root, shape.package, tmp_path)
    requires_here = sorted(packages.metadata_of_wheel(package).requires)
    assert (ours[0], ours[1], requires_here) == (name, files, requires)
    assert re.fullmatch(shape.version, name.split("-")[1]) or name.split("-")[1] == shape.version
    assert {text.format(root=root) for text in shape.requires} <= set(requires)
    assert set(shape.wheel_has) <= set(files)
    assert inputs_of(package) is shape.inputs


def test_metadata_alone_is_made_in_the_same_tree(root: Path) -> None:
    package = lay_out(SHAPES["setup-py-that-reads-above"], root)
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.16.0",)
    (root / "base.txt").write_text("six==1.15.0\n")
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.15.0",)
