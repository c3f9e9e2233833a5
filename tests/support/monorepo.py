"""A repository of packages as dagster's is laid out, of both eras, with a file or two for each of its traits.

What it has of the real one: packages of both families in `libraries/`, the placeholder version `1!0+dev` in
manifests and version modules, pins in dependencies and extras with markers, an unpinned sibling, dependency groups
and editable sources for development, versions of others' lying about, projects inside packages, packages that are
never published, a web application that git ignores with a build hook that only warns, a directory that git would
ignore but has. In the era of setup.py, pins are computed from the package's own version module.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from tests.support.commands import write_tree
from tests.support.repositories import Repository

Era = Literal["pyproject", "setup.py"]

ERAS: Final[tuple[Era, ...]] = ("pyproject", "setup.py")
CORE: Final = (
    *("dagit", "dagster", "dagster-cloud-cli", "dagster-graphql", "dagster-pipes", "dagster-shared"),
    "dagster-webserver",
)
LIBRARIES: Final = ("dagster-airlift", "dagster-celery", "dagster-dbt")
PUBLISHED: Final = tuple(sorted((*CORE, *LIBRARIES)))
WEBAPP: Final = "python_modules/dagster-webserver/dagster_webserver/webapp/build"

_TOP: Final = (
    "automation",
    "dagit",
    "dagster",
    "dagster-graphql",
    "dagster-pipes",
    "dagster-test",
    "dagster-webserver",
)

_ROOT: Final = {
    "CHANGES.md": "# Changelog\n\n## 1.13.29 (core) / 0.29.29 (libraries)\n\n- New\n\n## 1.13.28\n\n## 0.15.2\n",
    ".gitignore": "__pycache__/\n*.egg-info/\nbuild/\ntags\n",
    "pyproject.toml": "[tool.ruff]\nline-length = 100\n",
    "docs/conf.py": "",
    "js_modules/app-oss/package.json": "{}\n",
    "js_modules/app-oss/build.sh": "",
    "examples/quickstart/pyproject.toml": '[project]\nname = "quickstart"\nversion = "0.1"\n[build-system]\n'
    'requires = ["hatchling"]\nbuild-backend = "hatchling.build"\n',
    "scripts/tool/setup.py": 'from setuptools import setup\nsetup(name="tool", version="1!0+dev")\n',
}

_WEBAPP_FILES: Final = {
    f"{WEBAPP}/index.html": '<script src="app.js"></script>\n',
    f"{WEBAPP}/app.js": "run();\n",
}

_HATCH_BUILD: Final = """\
import sys

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebappBuildHook(BuildHookInterface):
    PLUGIN_NAME = "webapp-builder"

    def initialize(self, version, build_data):
        print("WARNING: Node.js not found. Cannot build the webapp.", file=sys.stderr)
"""


def directory_of(name: str) -> str:
    """Where a package lies, relative to the repository."""
    return f"python_modules/{name}" if name in _TOP else f"python_modules/libraries/{name}"


def make_monorepo(path: Path, era: Era, *, webapp: bool = True) -> Repository:
    """Write the repository and commit it; the web application is built, unless it should not be."""
    repository = Repository.create(path)
    files = _pyproject_era() if era == "pyproject" else _setup_py_era()
    write_tree(path, {**_ROOT, **files, **(_WEBAPP_FILES if webapp else {})})
    repository.git("add", "--all")
    # Ignored, yet in the repository.
    repository.git("add", "--force", "python_modules/dagster/dagster/_core/definitions/tags")
    repository.git("commit", "-q", "-m", "All packages")
    return repository


def add_special_packages(repository: Repository, core: str = "1!0+dev", libraries: str = "1!0+dev") -> None:
    """Add `dagster-cron`, whose code is in C for the stable interface of Python 3.10, and `dagster-broken`.

    The latter can be built but not imported, since it does not declare all that it needs, and is on the list of
    known failures.

    :param core: the version of the packages of the core.
    :param libraries: the version of the libraries, and of these two.
    """
    native, broken = directory_of("dagster-cron"), directory_of("dagster-broken")
    pin = f'"dagster-pipes=={core}"'
    manifest = _pyproject("dagster-cron", pin, version=libraries)[f"{native}/pyproject.toml"]
    hatchling = 'requires = ["hatchling>=1.19.0"]\nbuild-backend = "hatchling.build"'
    setuptools = 'requires = ["setuptools>=69"]\nbuild-backend = "setuptools.build_meta"'
    write_tree(
        repository.path,
        {
            f"{native}/pyproject.toml": f"""{manifest.replace(hatchling, setuptools)}
[tool.setuptools.packages.find]
where = ["python"]
""",
            f"{native}/setup.py": """from setuptools import Extension, setup

setup(ext_modules=[Extension("dagster_cron._native", ["src/native.c"], py_limited_api=True)],
      options={"bdist_wheel": {"py_limited_api": "cp310"}})
""",
            f"{native}/src/native.c": """#define Py_LIMITED_API 0x030A0000
#include <Python.h>
#include <time.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__native(void) { return time(NULL) ? PyModule_Create(&module) : NULL; }
""",
            f"{native}/python/dagster_cron/__init__.py": "from dagster_cron import _native as _native\n",
            **_pyproject("dagster-broken", pin, version=libraries),
            f"{broken}/dagster_broken/__init__.py": "import dagster_pipes\n\nimport undeclared\n",
            ".github/known-failures.toml": """[dagster-broken]
reason = "does not declare undeclared"
since = 2026-11-30
""",
        },
    )
    repository.git("add", "--all")
    repository.git("commit", "-q", "-m", "A package with native code, and one that cannot work")


def _modules(name: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The code of a package, whose version module is as wide as the real ones."""
    package = name.replace("-", "_")
    files = {
        f"{package}/__init__.py": f"from {package}.version import __version__ as __version__\n",
        f"{package}/version.py": '__version__ = "1!0+dev"\n',
        f"{package}_tests/__init__.py": "",
        **(extra or {}),
    }
    return {f"{directory_of(name)}/{file}": text for file, text in files.items()}


def _cli(name: str) -> str:
    return (
        "import sys\n\n\ndef main():\n    if sys.argv[1:] != ['--help']:\n        sys.exit('unknown option')\n"
        f"    print('Usage: {name}')\n"
    )


def _code() -> dict[str, str]:
    tags = "dagster/_core/definitions/tags/__init__.py"
    vendored = {
        "dagster/_vendored/dateutil/version.py": '__version__ = "2.9.0"\n',
        "dagster/_vendored/dateutil/__init__.py": "",
        "dagster/components/version.py": '__version__ = "1!0+dev"\n',
        "dagster/_core/__init__.py": "",
        "dagster/_core/definitions/__init__.py": "",
        "dagster/_core/definitions/grammar.g4": "grammar\n",
        tags: "",
        "dagster/cli.py": _cli("dagster"),
        "dagster/_generate/templates/PROJECT/pyproject.toml": '[project]\nname = "PROJECT"\nversion = "1"\n'
        "[build-system]\nrequires = []\n",
        "dagster_tests/projects/valid/setup.py": 'from setuptools import setup\nsetup(name="valid")\n',
    }
    webserver = {
        "dagster_webserver/cli.py": _cli("dagster-webserver"),
        "dagster_webserver/graphiql/g.js": "g();\n",
    }
    return {
        **_modules("dagster", vendored),
        **_modules("dagster-webserver", webserver),
        **{
            path: text
            for name in (*PUBLISHED, "dagster-test", "automation")
            if name not in {"dagster", "dagster-webserver"}
            for path, text in _modules(name).items()
        },
    }


_SOURCES: Final = """
[dependency-groups]
test = [
    "dagster==1!0+dev",
    "dagster-test",
]

[tool.uv]
exclude-newer = "48h"

[tool.uv.sources]
dagster = { path = "../../dagster", editable = true }
"""


def _pyproject(name: str, *dependencies: str, version: str = "1!0+dev", rest: str = "") -> dict[str, str]:
    lines = "".join(f"    {dependency},\n" for dependency in dependencies)
    return {
        f"{directory_of(name)}/pyproject.toml": f"""\
[build-system]
requires = ["hatchling>=1.19.0"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
description = "The package {name}."
requires-python = ">=3.10,<3.15"
dependencies = [
    # what it needs
{lines}]
{rest}"""
    }


def _pyproject_era() -> dict[str, str]:
    airlift = """
[project.optional-dependencies]
core = [
    "dagster==1!0+dev",
]
tutorial = ["dagster-webserver==1!0+dev", "boto3; python_version < '3.13'"]
test = [
    # dagster-dbt does not support Python 3.14.
    "dagster-dbt==1!0+dev; python_version < '3.14'",  # yet
    'dagster-celery == 1!0+dev; sys_platform != "win32"',
]
"""
    dagster = """
[project.scripts]
dagster = "dagster.cli:main"

[project.optional-dependencies]
test = ["pytest>=8"]
"""
    exclusions = """
[tool.hatch.build]
force-include = {"dagster/_core/definitions/tags" = "dagster/_core/definitions/tags"}
exclude = ["dagster/**/*.g4"]
"""
    webserver = """
[project.scripts]
dagster-webserver = "dagster_webserver.cli:main"

[project.optional-dependencies]
notebook = ["nbconvert"]  # notebooks support

[tool.hatch.build]
artifacts = ["dagster_webserver/webapp/build/"]

[tool.hatch.build.hooks.custom]
"""
    nested = '[project]\nname = "kitchen-sink"\nversion = "1!0+dev"\n[build-system]\nrequires = ["hatchling"]\n'
    return {
        **_code(),
        **_pyproject("dagster-pipes"),
        **_pyproject("dagster-shared", '"packaging>=20.9"'),
        **_pyproject(
            "dagster",
            '"dagster-pipes==1!0+dev"',
            '"dagster-shared==1!0+dev",  # shared code',
            rest=dagster + _SOURCES + exclusions,
        ),
        **_pyproject("dagster-graphql", '"dagster==1!0+dev"', rest=_SOURCES),
        **_pyproject("dagster-webserver", '"dagster==1!0+dev"', '"dagster-graphql==1!0+dev"', rest=webserver),
        "python_modules/dagster-webserver/hatch_build.py": _HATCH_BUILD,
        **_pyproject("dagit", '"dagster-webserver[notebook]==1!0+dev"'),
        **_pyproject("dagster-test", '"dagster"'),
        **_pyproject("automation", version="0.0.1"),
        **_pyproject("dagster-cloud-cli", '"dagster-shared"', '"packaging"'),
        **_pyproject("dagster-celery", '"dagster==1!0+dev"', rest=_SOURCES),
        **_pyproject("dagster-dbt", '"dagster==1!0+dev"'),
        **_pyproject("dagster-airlift", rest=airlift + _SOURCES),
        f"{directory_of('dagster-airlift')}/kitchen-sink/pyproject.toml": nested,
        f"{directory_of('dagster-airlift')}/perf-harness/pyproject.toml": nested,
        f"{directory_of('dagster-dbt')}/kitchen-sink/pyproject.toml": nested,
        f"{directory_of('dagster-dbt')}/uv.lock": 'version = 1\n[[package]]\nname = "x"\nversion = "1!0+dev"\n',
    }


def _setup_py(name: str, *dependencies: str, spelt: str = "", rest: str = "", extra: str = "") -> dict[str, str]:
    package = name.replace("-", "_")
    lines = "".join(f"        {dependency},\n" for dependency in dependencies)
    return {
        f"{directory_of(name)}/MANIFEST.in": f"include README.md\n{extra}",
        f"{directory_of(name)}/setup.py": f"""\
from pathlib import Path

from setuptools import find_packages, setup


def get_version() -> str:
    version: dict[str, str] = {{}}
    with open(Path(__file__).parent / "{package}/version.py", encoding="utf8") as fp:
        exec(fp.read(), version)

    return version["__version__"]


ver = get_version()
# dont pin dev installs to avoid pip dep resolver issues
pin = "" if ver == "1!0+dev" else f"=={{ver}}"
setup(
    name="{spelt or name}",
    version=ver,
    description="The package {name}.",
    packages=find_packages(exclude=["{package}_tests*"]),
    include_package_data=True,
    python_requires=">=3.9",
    install_requires=[
{lines}    ],
{rest})
""",
    }


def _setup_py_era() -> dict[str, str]:
    scripts = '    entry_points={{"console_scripts": ["{0} = {1}.cli:main"]}},\n'
    airlift = """\
    extras_require={
        "core": [f"dagster{pin}", *CLI],
        "tutorial": ["dagster-webserver", *CLI],
        "test": [f"dagster-dbt{pin}; python_version < '3.14'", "dagster-celery" + pin],
    },
"""
    airlift_files = _setup_py("dagster-airlift", rest=airlift)
    path = f"{directory_of('dagster-airlift')}/setup.py"
    airlift_files[path] = airlift_files[path].replace("setup(\n", 'CLI = ["packaging"]\n\nsetup(\n', 1)
    notebook = '    extras_require={"notebook": ["nbconvert"]},\n'
    dagit = '    extras_require={"notebook": [f"dagster-webserver[notebook]{pin}"]},  # notebooks support\n'
    webapp = "recursive-include dagster_webserver/graphiql *\nrecursive-include dagster_webserver/webapp/build *\n"
    literal = 'from setuptools import find_packages, setup\n\nsetup(name="{0}", version="{1}", packages={2}'
    return {
        **_code(),
        **_setup_py("dagster-pipes"),
        **_setup_py("dagster-shared", '"packaging>=20.9"', spelt="dagster_shared"),
        **_setup_py(
            "dagster",
            'f"dagster-pipes{pin}"',
            'f"dagster-shared{pin}"',
            rest=scripts.format("dagster", "dagster"),
            extra="global-exclude *.g4\n",
        ),
        **_setup_py("dagster-graphql", 'f"dagster{pin}"'),
        **_setup_py(
            "dagster-webserver",
            'f"dagster{pin}"',
            'f"dagster-graphql{pin}"',
            rest=notebook + scripts.format("dagster-webserver", "dagster_webserver"),
            extra=webapp,
        ),
        **_setup_py("dagit", 'f"dagster-webserver{pin}"', rest=dagit),
        "python_modules/dagster-test/setup.py": literal.format(
            "dagster-test",
            "1!0+dev",
            'find_packages(exclude=["dagster_test_tests*"]), install_requires=["dagster"])\n',
        ),
        "python_modules/automation/setup.py": literal.format(
            "automation", "0.0.1", 'find_packages(exclude=["*_tests"]))\n'
        ),
        **_setup_py("dagster-cloud-cli", '"dagster-shared"', '"packaging"'),
        **_setup_py("dagster-celery", 'f"dagster{pin}"'),
        **_setup_py("dagster-dbt", 'f"dagster{pin}"'),
        **airlift_files,
        f"{directory_of('dagster-airlift')}/kitchen-sink/setup.py": literal.format(
            "kitchen-sink", "1!0+dev", "[])\n"
        ),
    }
