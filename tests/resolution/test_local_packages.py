"""Building local packages with the same version, files and requirements as the project's own tool.

The expected result is what that tool (pip, uv, poetry, pdm, hatch or flit) makes of a copy of the checkout, in the
same test. `bench/frontends.py` holds each package against all tools that can build it.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from builder.project.requirement_lines import path_of_url
from builder.resolution import uv
from builder.resolution.backend import LocalPackages
from builder.resolution.build_inputs import inputs_of
from builder.resolution.hooks import shared_system
from tests.support.frontends import ABOVE, Facts, build_wheel
from tests.support.local_packages import PYTHON, everything, system
from tests.support.package_shapes import SHAPES, lay_out

HATCH = "[tool.hatch.metadata]\nallow-direct-references = true\n"
BACKENDS = {"hatchling": "hatchling", "pdm": "pdm-backend"}

pytestmark = [pytest.mark.slow, pytest.mark.network]


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


@pytest.fixture(scope="session")
def frontends(pytestconfig: pytest.Config) -> Path:
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("frontends")


@pytest.mark.parametrize("name", SHAPES)
def test_a_package_is_built_as_its_own_tool_builds_it(
    name: str, root: Path, tmp_path: Path, frontends: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[name]
    for variable, value in shape.environment.items():
        monkeypatch.setenv(variable, value)
    package = lay_out(shape, root)
    if hooked := shared_system(package):
        # Not the wheel that an earlier run of this test kept.
        (package / "new.txt").write_text(str(root))
    before = everything(root)
    packages = LocalPackages(PYTHON)
    with mock.patch.object(uv, "run", wraps=uv.run) as run, ThreadPoolExecutor(1) as pool:
        packages.build_together([package], pool)
        wheel = packages.wheel(package)
    commands = [call.args[0][0] for call in run.call_args_list]
    assert commands == ["run"] if hooked else commands in ([], ["build"])
    assert everything(root) == before
    copy = tmp_path / "theirs" / root.parent.name / root.name
    shutil.copytree(root, copy, symlinks=True)
    (tmp_path / "out").mkdir()
    built_by_tool = build_wheel(shape.frontend, copy / shape.package, tmp_path / "out", frontends)
    theirs = Facts.read(built_by_tool, here=str(copy.parent), there=str(root.parent))
    version = theirs.name.split("-")[1]
    assert Facts.read(wheel, here=ABOVE, there=str(root.parent)) == theirs
    assert tuple(sorted(packages.metadata_of_wheel(package).requires)) == theirs.requires
    assert re.fullmatch(shape.version, version) or version == shape.version
    assert {text.format(root=root) for text in shape.requires} <= set(theirs.requires)
    assert set(shape.wheel_has) <= set(theirs.content)
    assert inputs_of(package) is shape.inputs


def test_metadata_alone_is_made_in_the_same_tree(root: Path) -> None:
    package = lay_out(SHAPES["setup-py-that-reads-above"], root)
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.16.0",)
    (root / "base.txt").write_text("six==1.15.0\n")
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.15.0",)
