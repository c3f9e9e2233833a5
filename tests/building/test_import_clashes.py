"""Modules of the project that are called like others, and local packages that reach into those of a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import DAGSTER, Workshop, workshop, write_tree
from tests.support.wheels import make_wheel


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        shelf = made.index.directory
        make_wheel(shelf, {"corp/__init__.py": "", "corp/base.py": "", "single.py": ""}, name="corp-base")
        make_wheel(shelf, {"spaces/cloud/storage/__init__.py": "", "tests/__init__.py": ""}, name="spaced")
        yield made


def built(place: Workshop, files: dict[str, str], *, settings: str = "") -> list[str]:
    requirements = "dagster\ndagster-cloud\ncorp-base\nspaced\n"
    write_tree(place.root / "project", {"requirements.txt": requirements + files.pop("more", ""), **files})
    text = f"locations:\n  - location_name: a\n    code_source: {{module_name: app}}\n{settings}"
    (place.root / "project/dagster_cloud.yaml").write_text(text)
    ran = place.run("deploy", place.root / "project", place.out).succeeded()
    return [line for line in ran.stderr.splitlines() if line.startswith("warning:")]


EXTENSION = "random.cpython-311-x86_64-linux-gnu.so"


def test_modules_that_hide_others_are_said(place: Workshop) -> None:
    files = (
        "dagster/__init__.py",
        "dagster/settings.py",
        "single.py",
        "logging/__init__.py",
        "types.py",
        EXTENSION,
    )
    warnings = built(place, dict.fromkeys((*files, "app/__init__.py"), ""))
    assert [re.findall(r"`([^`]+)`", line)[:2] for line in warnings] == [
        ["dagster/", "dagster"],
        ["logging/", "logging"],
        [EXTENSION, "random"],
        ["single.py", "single"],
        ["types.py", "types"],
    ]
    assert f"hides the module `dagster` of dagster {DAGSTER} from the code" in warnings[0]
    assert "is called like the module `logging` of the standard library" in warnings[1]


def test_directories_that_are_no_packages_and_what_nobody_imports_hide_nothing(place: Workshop) -> None:
    files = ("dagster/readme.md", "corp/extra.py", "tests/__init__.py", "app/logging.py", "app/corp/__init__.py")
    assert built(place, dict.fromkeys((*files, "app/__init__.py"), "")) == []


def test_the_working_directory_of_a_location_counts(place: Workshop) -> None:
    files = dict.fromkeys(("src/corp/__init__.py", "src/app/__init__.py", "corp/__init__.py"), "")
    (warning,) = built(place, files, settings="    working_directory: src\n")
    assert "`src/corp/` hides the module `corp` of corp-base 1.0" in warning


def test_a_local_package_that_adds_to_a_package_of_a_wheel_is_said(place: Workshop) -> None:
    for name, module in (("corp_local", "corp"), ("other", "spaces/cloud/storage"), ("fine", "spaces/cloud/more")):
        make_local_package(place.root / f"project/libs/{name}", name, module)
    paths = "".join(f"./libs/{name}\n" for name in ("corp_local", "other", "fine"))
    warnings = built(place, {"more": paths, "app/__init__.py": ""})
    assert len(warnings) == 2
    assert "installs `corp/local/__init__.py`, but `corp` is a package of corp-base 1.0" in warnings[0]
    assert "`spaces.cloud.storage` is a package of spaced 1.0" in warnings[1]


def make_local_package(directory: Path, name: str, module: str) -> None:
    """A local package with a backend of its own, which needs nothing from an index."""
    backend = (
        "import zipfile\n"
        "def build_wheel(directory, config_settings=None, metadata_directory=None):\n"
        f"    name = '{name}-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(f'{directory}/{name}', 'w') as wheel:\n"
        f"        wheel.writestr('{module}/local/__init__.py', '')\n"
        f"        info = '{name}-1.0.dist-info'\n"
        f"        wheel.writestr(f'{{info}}/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n')\n"
        "        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n')\n"
        "        wheel.writestr(f'{info}/RECORD', '')\n"
        "    return name\n"
    )
    manifest = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    write_tree(directory, {"pyproject.toml": manifest, "backend.py": backend})
