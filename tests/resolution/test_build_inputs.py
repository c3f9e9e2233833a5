"""What the build of a local package reads, as its declarations tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.resolution.build_inputs import Inputs, inputs_of
from tests.support.local_packages import SETUPTOOLS, system

# What is before the separator is the pyproject.toml.
SCIKIT = system("scikit_build_core.build", "scikit-build-core") + "===\n"
MESON = system("mesonpy", "meson-python") + "===\n"

INPUTS = {
    "setup.py": {
        "from setuptools import find_packages, setup\nsetup(name='a', packages=find_packages())": Inputs.FILES,
        "import setuptools\nif __name__ == '__main__':\n    setuptools.setup(name='a')": Inputs.FILES,
        "from setuptools import setup\nwith open('README.md') as f:\n    t = f.read()\nsetup()": Inputs.FILES,
        "from setuptools import setup\nsetup(name='a', version=open('../VERSION').read())": Inputs.UNKNOWN,
        "import os\nfrom setuptools import setup\nsetup(name='a', version=os.environ['V'])": Inputs.UNKNOWN,
        "import versioneer\nfrom setuptools import setup\nsetup(name='a')": Inputs.UNKNOWN,
        "from setuptools import setup\nsetup(name='a', cmdclass={})": Inputs.UNKNOWN,
        "from setuptools import setup\nsetup(name='a', setup_requires=['x'])": Inputs.UNKNOWN,
        "from setuptools import setup\nsetup(name='a', package_data={'a': ['/etc/x']})": Inputs.UNKNOWN,
        "from setuptools import setup\nsetup(use_scm_version={'version_scheme': 'ours:scheme'})": Inputs.UNKNOWN,
        "exec(open('version.py').read())\nfrom setuptools import setup\nsetup(name='a')": Inputs.UNKNOWN,
        "from setuptools import setup\nsetup(": Inputs.UNKNOWN,
    },
    "setup.cfg": {
        "[metadata]\nname = a\nversion = 1\n": Inputs.FILES,
        "[metadata]\nname = a\nversion = attr: literal.VERSION\n": Inputs.FILES,
        "[metadata]\nname = a\nversion = attr: computed.VERSION\n": Inputs.UNKNOWN,
        "[metadata]\nname = a\nversion = file: ../VERSION\n": Inputs.UNKNOWN,
        "[options]\ncmdclass =\n    build = custom.Build\n": Inputs.UNKNOWN,
        "[metadata]\nname = a\n[egg_info]\ntag_date = 1\n": Inputs.UNKNOWN,
    },
    "hatch.toml": {
        '[version]\npath = "literal.py"\n[envs.default]\ndependencies = ["../x"]\n': Inputs.FILES,
        '[version]\npath = "../literal.py"\n': Inputs.UNKNOWN,
        '[build.targets.wheel.force-include]\n"../schemas" = "a/schemas"\n': Inputs.UNKNOWN,
        "[build.hooks.custom]\n": Inputs.UNKNOWN,
    },
    "meson.build": {
        "project('a', 'c', version: '1')\n": Inputs.FILES,
        "project('a', 'c', version: run_command('./version.py').stdout())\n": Inputs.UNKNOWN,
        "# run_command('git')\n": Inputs.FILES,
    },
    "CMakeLists.txt": {"EXECUTE_PROCESS (COMMAND git describe)\n": Inputs.UNKNOWN, "project(a)\n": Inputs.FILES},
    "native/CMakeLists.txt": {
        SCIKIT + "EXECUTE_PROCESS (COMMAND git describe)\n": Inputs.UNKNOWN,
        SCIKIT + "set(V $ENV{V})\n": Inputs.UNKNOWN,
        SCIKIT + "configure_file(../../VERSION v.h)\n": Inputs.UNKNOWN,
        SCIKIT + "add_library(a a.c)\n": Inputs.FILES,
        "EXECUTE_PROCESS (COMMAND git describe)\n": Inputs.FILES,
    },
    "cmake/Version.cmake": {SCIKIT + "find_program(GIT git)\n": Inputs.UNKNOWN},
    "src/meson.build": {
        MESON + "subproject('x')\n": Inputs.UNKNOWN,
        MESON + "py.install_sources('a.py')": Inputs.FILES,
    },
    "crates/a/build.rs": {system("maturin", "maturin>=1") + "===\nfn main() {}\n": Inputs.UNKNOWN},
    "build.rs": {"fn main() {}\n": Inputs.UNKNOWN},
    "MANIFEST.in": {"include ../LICENSE\n": Inputs.UNKNOWN, "include LICENSE\n": Inputs.FILES},
    "pyproject.toml": {
        system("hatchling.build", "hatchling") + '[project.urls]\nx = "https://a.b/c"\n': Inputs.FILES,
        system("hatchling.build", "hatchling") + '[tool.hatch.build]\nexclude = ["/docs"]\n': Inputs.FILES,
        system("hatchling.build", "hatchling") + "[tool.hatch.build.hooks.custom]\n": Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + "[tool.hatch.metadata.hooks.custom]\n": Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[tool.hatch.version]\nsource = "code"\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[tool.hatch.version]\nsource = "env"\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[tool.hatch.version]\npath = "../v.py"\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[project]\ndependencies = ["x=={env:X}"]\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[project]\nreadme = "../README.md"\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling") + '[tool.uv.sources]\nx = { path = "../x" }\n': Inputs.FILES,
        system("hatchling.build", "hatchling", "hatch-plugin-of-ours"): Inputs.UNKNOWN,
        system("pdm.backend", "pdm-backend") + '[tool.pdm.version]\nsource = "call"\n': Inputs.UNKNOWN,
        system("pdm.backend", "pdm-backend") + '[tool.pdm.version]\nsource = "scm"\n': Inputs.REPOSITORY,
        system("poetry.core.masonry.api", "poetry-core")
        + '[tool.poetry.build]\nscript = "b.py"\n': Inputs.UNKNOWN,
        system("poetry.core.masonry.api", "poetry-core") + '[tool.poetry]\nbuild = "b.py"\n': Inputs.UNKNOWN,
        system("poetry.core.masonry.api", "poetry-core")
        + '[tool.poetry.dependencies]\nx = { path = "../x" }\n': Inputs.FILES,
        system(SETUPTOOLS, "setuptools")
        + '[tool.setuptools.dynamic]\nversion = {attr = "literal.VERSION"}\n': Inputs.FILES,
        system(SETUPTOOLS, "setuptools")
        + '[tool.setuptools.dynamic]\nversion = {attr = "computed.VERSION"}\n': Inputs.UNKNOWN,
        system(SETUPTOOLS, "setuptools", "setuptools-scm")
        + '[tool.setuptools_scm]\nversion_scheme = "ours:scheme"\n': Inputs.UNKNOWN,
        system(SETUPTOOLS, "setuptools", "setuptools-scm")
        + '[tool.setuptools_scm]\nversion_scheme = "calver-by-date"\n': Inputs.REPOSITORY,
        system("hatchling.build", "hatchling", "hatch-vcs")
        + '[tool.hatch.version.raw-options]\nlocal_scheme = "ours:local"\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling", "versioningit")
        + '[tool.versioningit.format]\nmethod = { module = "ours", value = "f" }\n': Inputs.UNKNOWN,
        system("hatchling.build", "hatchling", "versioningit")
        + '[tool.versioningit.vcs]\nmethod = "git"\n': Inputs.REPOSITORY,
        system(SETUPTOOLS, "setuptools") + '[tool.setuptools.package-dir]\n"" = "../src"\n': Inputs.UNKNOWN,
        system("flit_core.buildapi", "flit-core")
        + '[project]\nname = "literal"\ndynamic = ["version"]\n': Inputs.UNKNOWN,
        system("maturin", "maturin>=1") + '[tool.maturin]\nmodule-name = "a._a"\n': Inputs.FILES,
    },
}


@pytest.mark.parametrize(
    "name, text, inputs", [(name, *pair) for name, texts in INPUTS.items() for pair in texts.items()]
)
def test_what_a_build_reads_is_told_by_its_declaration(
    tmp_path: Path, name: str, text: str, inputs: Inputs
) -> None:
    (tmp_path / "literal.py").write_text("VERSION = '1'\n")
    (tmp_path / "computed.py").write_text("import os\nVERSION = os.environ.get('V', '1')\n")
    declared, _, own = text.rpartition("===\n")
    if declared:
        (tmp_path / "pyproject.toml").write_text(declared)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(own)
    assert inputs_of(tmp_path) is inputs
