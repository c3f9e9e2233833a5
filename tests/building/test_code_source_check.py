"""A code source that names no module is warned of by the build where that is certain, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Ran, Workshop, workshop
from tests.support.wheels import make_wheel

SHOP = dict.fromkeys(("shop/__init__.py", "shop/definitions.py", "shop/assets/__init__.py"), "")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        shelf = made.index.directory
        make_wheel(shelf, {"corp/tools/x.py": ""}, name="corp-tools")
        make_wheel(shelf, {"hook.pth": "import os\n"}, name="hooked")
        make_wheel(shelf, {"distutils-precedence.pth": "import os\n"}, name="much-used")
        yield made


def deploy(place: Workshop, files: dict[str, str], source: str, *, more: str = "", requires: str = "") -> Ran:
    """Build a location with this code source, the last line of its entry being that."""
    requirements = f"dagster\ndagster-cloud\n{requires}"
    project = place.project({"requirements.txt": requirements, **files})
    text = f"locations:\n  - location_name: a\n    build: {{directory: {project.name}}}\n{more}    code_source:\n"
    return place.run("deploy", place.workspace(f"{text}      {source}\n"), place.out)


def warnings(ran: Ran) -> list[str]:
    lines = ran.succeeded().stderr.splitlines()
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


@pytest.mark.parametrize(
    "source, files, module, meant",
    [
        ("module_name: shop.defintions", SHOP, "shop.defintions", "shop.definitions"),
        ("module_name: shop.asets", SHOP, "shop.asets", "shop.assets"),
        ("module_name: shpo.definitions", SHOP, "shpo", "shop.definitions"),
        ("package_name: shopp", SHOP, "shopp", "shop"),
        ("autoload_defs_module_name: shop.asset", SHOP, "shop.asset", "shop.assets"),
        # A package without `__init__.py`, of which no distribution has a part.
        ("module_name: shop.defintions", {"shop/definitions.py": ""}, "shop.defintions", "shop.definitions"),
    ],
)
def test_a_misspelt_module_is_shown_at_its_line(
    place: Workshop, source: str, files: dict[str, str], module: str, meant: str
) -> None:
    said = warnings(deploy(place, files, source, requires="much-used\n"))
    kind = source.partition(":")[0]
    what = f"there is no module `{module}` in its build directory; did you mean `{meant}`?"
    place_and_name = "dagster_cloud.yaml:5: location `a` will not load"
    assert said == [f"{place_and_name}: {what} Write `{kind}: {meant}` in `dagster_cloud.yaml`"]


def test_one_that_is_like_no_other_is_shown_too(place: Workshop) -> None:
    (said,) = warnings(deploy(place, SHOP, "module_name: reports"))
    assert "there is no module `reports` in its build directory; correct `module_name: reports` in" in said


def test_the_working_directory_is_looked_in(place: Workshop) -> None:
    files = {f"src/{name}": text for name, text in SHOP.items()}
    ran = deploy(place, files, "module_name: shop.defintions", more="    working_directory: src\n")
    assert "in `src`, its working directory; did you mean `shop.definitions`?" in warnings(ran)[0]


def test_a_package_in_src_is_looked_in(place: Workshop) -> None:
    backend = (
        "import zipfile\n"
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n"
        "    with zipfile.ZipFile(f'{directory}/shop-1.0-py3-none-any.whl', 'w') as wheel:\n"
        "        for name in ('shop/__init__.py', 'shop/definitions.py'):\n"
        "            wheel.write(f'src/{name}', name)\n"
        "        info = 'shop-1.0.dist-info'\n"
        "        wheel.writestr(f'{info}/METADATA', 'Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n')\n"
        "        wheel.writestr(f'{info}/RECORD', '')\n"
        "    return 'shop-1.0-py3-none-any.whl'\n"
    )
    pyproject = (
        '[project]\nname = "shop"\nversion = "1.0"\ndependencies = ["dagster", "dagster-cloud"]\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    files = {f"src/{name}": "" for name in ("shop/__init__.py", "shop/definitions.py")}
    files |= {"pyproject.toml": pyproject, "backend.py": backend}
    assert "did you mean `shop.definitions`?" in warnings(deploy(place, files, "module_name: shop.defintions"))[0]
    assert warnings(deploy(place, files, "module_name: shop.definitions")) == []


@pytest.mark.parametrize(
    "source, files, more",
    [
        ("module_name: shop.definitions", SHOP, ""),
        ("module_name: shop.assets", SHOP, ""),
        # Where it is, but not where it is looked for: loading it shows that.
        ("module_name: definitions", SHOP, ""),
        # The package may find modules in its own way.
        ("module_name: shop.defs", {**SHOP, "shop/__init__.py": "__path__.append('/srv/more')\n"}, ""),
        ("module_name: shop.defs", {**SHOP, "shop/hook.py": "import sys\nsys.modules['shop.defs'] = sys\n"}, ""),
        ("module_name: reports", {**SHOP, "sitecustomize.py": ""}, ""),
        ("module_name: reports", SHOP, "    container_context: {k8s: {env_vars: [PYTHONPATH=/srv]}}\n"),
        # Of a distribution.
        ("module_name: corp.tools.x", SHOP, ""),
        ("module_name: corp.toools.x", SHOP, ""),
        ("module_name: corp.more", {**SHOP, "corp/base.py": ""}, ""),
    ],
)
def test_what_may_be_there_is_left_to_verification(
    place: Workshop, source: str, files: dict[str, str], more: str
) -> None:
    ran = deploy(place, files, source, more=more, requires="corp-tools\n")
    assert not [text for text in warnings(ran) if "will not load" in text]


def test_a_path_file_of_a_distribution_may_lead_to_any_module(place: Workshop) -> None:
    assert warnings(deploy(place, SHOP, "module_name: reports", requires="hooked\n")) == []
    # But to no other module of a package that the project has itself.
    (said,) = warnings(deploy(place, SHOP, "module_name: shop.reports", requires="hooked\n"))
    assert "there is no module `shop.reports`" in said
