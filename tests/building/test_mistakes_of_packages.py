"""Mistakes in the package that a project builds, with the backends themselves: what to make or to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import run_command, write_tree
from tests.support.mistakes import Mistake, check

pytestmark = pytest.mark.network

_BACKENDS = {
    "hatchling": ("hatchling", "hatchling.build"),
    "setuptools": ("setuptools", "setuptools.build_meta"),
    "flit": ("flit_core>=3.4", "flit_core.buildapi"),
    "poetry": ("poetry-core", "poetry.core.masonry.api"),
    "uv": ("uv_build", "uv_build"),
    "pdm": ("pdm-backend", "pdm.backend"),
}
_PROJECT = '[project]\nname = "shop"\nversion = "1.0"\ndescription = "x"\n'
_DYNAMIC = '[project]\nname = "shop"\ndescription = "x"\ndynamic = ["version"]\n'


def built_by(backend: str, *lines: str, project: str = _PROJECT) -> dict[str, str]:
    """A pyproject.toml; further lines of `[project]` begin at line 5, tables are given with their brackets."""
    requires, name = _BACKENDS.get(backend, (backend, f"{backend}.build"))
    own = "".join(f"{line}\n" for line in lines)
    system = f'[build-system]\nrequires = ["{requires}"]\nbuild-backend = "{name}"\n'
    return {"pyproject.toml": f"{project}{own}{system}"}


_CODE = {"shop/__init__.py": '"""A shop."""\n'}
_OTHER = {"other/__init__.py": ""}
_NO_INIT = "`shop/` has no `__init__.py`"
_README = "names `README.md`, which does not exist"
MISTAKES = {
    "no init, hatchling": Mistake(
        {**built_by("hatchling"), "shop/x.py": ""},
        "pyproject.toml:2",
        _NO_INIT,
        "Make the file `shop/__init__.py`",
    ),
    "no init, uv": Mistake(
        {**built_by("uv"), "src/shop/x.py": ""}, "pyproject.toml:2", "`src/shop/` has no", "`src/shop/__init__.py`"
    ),
    **{
        f"other package, {backend}": Mistake(
            {**built_by(backend), **_OTHER}, "pyproject.toml:2", "there is `other/`", remedy
        )
        for backend, remedy in (
            ("hatchling", '`packages = ["other"]` under `[tool.hatch.build.targets.wheel]`'),
            ("flit", '`name = "other"` under `[tool.flit.module]`'),
            ("poetry", '`packages = [{ include = "other" }]` under `[tool.poetry]`'),
            ("uv", '`module-name = "other"` and `module-root = ""` under `[tool.uv.build-backend]`'),
        )
    },
    **{
        f"no README, {backend}": Mistake(
            {**built_by(backend, 'readme = "README.md"'), **_CODE, "src/shop/__init__.py": ""},
            *("pyproject.toml:5", _README, "Add the file `README.md`"),
        )
        for backend in ("hatchling", "poetry", "uv", "pdm")
    },
    "no README, flit": Mistake(
        {**built_by("flit", 'readme = "README.md"'), **_CODE},
        "pyproject.toml:5",
        _README,
        "Add the file `README.md`",
    ),
    "no licence, hatchling": Mistake(
        {**built_by("hatchling", 'license = { file = "LICENSE" }'), **_CODE},
        *("pyproject.toml:5", "names `LICENSE`, which does not exist", "Add the file `LICENSE`"),
    ),
    "no licence files, pdm": Mistake(
        {**built_by("pdm", 'license-files = ["LICENSE"]'), **_CODE},
        *("pyproject.toml:5", "names `LICENSE`, which does not exist", "Add the file `LICENSE`"),
    ),
    "two packages, setuptools": Mistake(
        {**built_by("setuptools"), **_CODE, "etl/__init__.py": ""},
        *("pyproject.toml", "several packages", '`packages = ["etl", "shop"]` under `[tool.setuptools]`'),
    ),
    "two modules, setuptools": Mistake(
        {**built_by("setuptools"), "a.py": "", "b.py": ""},
        *("pyproject.toml", "several modules", '`py-modules = ["a", "b"]` under `[tool.setuptools]`'),
    ),
    "no version, setuptools": Mistake(
        {
            **built_by(
                "setuptools",
                '[tool.setuptools.dynamic]\nversion = { attr = "shop.__version__" }',
                project=_DYNAMIC,
            ),
            "shop/__init__.py": "",
        },
        *("shop/__init__.py", "`shop/__init__.py` does not say the version", '`__version__ = "1.0"`'),
    ),
    "no version, hatchling": Mistake(
        {
            **built_by("hatchling", '[tool.hatch.version]\npath = "shop/__init__.py"', project=_DYNAMIC),
            "shop/__init__.py": "",
        },
        *("shop/__init__.py", "`shop/__init__.py` does not say the version", '`__version__ = "1.0"`'),
    ),
    "backend that nothing brings": Mistake(
        {
            "pyproject.toml": built_by("hatchling")["pyproject.toml"].replace("hatchling.build", "hatchlin.build"),
            **_CODE,
        },
        *("pyproject.toml:7", "names a module `hatchlin`", 'Write `build-backend = "hatchling.build"`'),
    ),
    "misspelt requirement of the build": Mistake(
        {
            "pyproject.toml": built_by("setuptools")["pyproject.toml"].replace('["setuptools"', '["setuptols"'),
            **_CODE,
        },
        *("pyproject.toml:6", "no index has a package `setuptols`", "Did you mean `setuptools`?"),
    ),
    "setup.py that imports": Mistake(
        {"setup.py": "from setuptools import setup\nimport numpy\nsetup(name='shop')\n"},
        *(
            "setup.py:2",
            "the build imports `numpy`",
            'or require what brings it: `requires = ["setuptools>=40.8.0", "numpy"]`',
        ),
    ),
    "setup.py that reads": Mistake(
        {"setup.py": "from setuptools import setup\nsetup(name='shop', description=open('README.md').read())\n"},
        *("setup.py:2", "`setup.py` names `README.md`", "Add the file `README.md`"),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_what_to_make_or_to_write(tmp_path: Path, name: str) -> None:
    write_tree(tmp_path / "project", MISTAKES[name].files)
    ran = run_command("source", tmp_path / "project", tmp_path / "out", directory=tmp_path)
    check(MISTAKES[name], ran, "project")
