"""Packages of many shapes, each in a repository of its own, with the version that its own tool gives it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.resolution.build_inputs import Inputs
from tests.support.local_packages import SETUPTOOLS, project, system
from tests.support.repositories import Repository


@dataclass(frozen=True)
class Shape:
    """A repository with one package, and changes after the first commit.

    :param version: the expected version of the package, taken from a run of its frontend.
    :param frontend: the program of `tests/support/frontends.py` that its project would build it with.
    :param environment: variables of the build.
    """

    files: Mapping[str, str]
    version: str
    frontend: str = "uv"
    package: str = "."
    history: tuple[str, ...] = ()
    inputs: Inputs = Inputs.REPOSITORY
    wheel_has: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    then: Callable[[Path], object] = field(default=lambda _: None)


def link_up(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).symlink_to(f"../../{name}")


SHAPES = {
    # Versions from git
    "setuptools-git-versioning": Shape(
        {
            "pyproject.toml": project("lib")
            + system(SETUPTOOLS, "setuptools", "setuptools-git-versioning")
            + '[tool.setuptools-git-versioning]\nenabled = true\n[tool.setuptools]\npackages = ["app"]\n',
            "app/__init__.py": "",
            ".gitignore": "*.egg-info/\nbuild/\n",
        },
        "2.3.0",
        "pip",
        history=("tag v2.3.0",),
    ),
    "pdm-backend-scm": Shape(
        {
            "pyproject.toml": project("lib")
            + system("pdm.backend", "pdm-backend")
            + '[tool.pdm.version]\nsource = "scm"\nwrite_to = "app/_version.py"\nwrite_template = "V = \'{}\'"\n'
            + '[tool.pdm.build]\nincludes = ["app"]\n',
            "app/__init__.py": "",
        },
        "2.3.0",
        "pdm",
        history=("tag v2.3.0",),
        wheel_has=("app/_version.py",),
    ),
    "versioningit": Shape(
        {
            "pyproject.toml": project("lib")
            + system("hatchling.build", "hatchling", "versioningit")
            + '[tool.hatch.version]\nsource = "versioningit"\n'
            + '[tool.hatch.build.targets.wheel]\npackages = ["app"]\n'
            + '[tool.versioningit.next-version]\nmethod = "minor"\n'
            + '[tool.versioningit.format]\ndistance = "{next_version}.dev{distance}"\n',
            "app/__init__.py": "",
        },
        "2.4.0.dev1",
        "hatch",
        history=("tag v2.3.0", "commit"),
    ),
    "uv-dynamic-versioning": Shape(
        {
            "pyproject.toml": project("lib")
            + system("hatchling.build", "hatchling", "uv-dynamic-versioning")
            + '[tool.hatch.version]\nsource = "uv-dynamic-versioning"\n'
            + '[tool.uv-dynamic-versioning]\npattern = "default-unprefixed"\nmetadata = false\n'
            + '[tool.hatch.build.targets.wheel]\npackages = ["app"]\n',
            "app/__init__.py": "",
        },
        "2.3.0.post1.dev0",
        history=("tag 2.3.0", "commit"),
    ),
    "poetry-dynamic-versioning": Shape(
        {
            "pyproject.toml": '[tool.poetry]\nname = "lib"\nversion = "0.0.0"\ndescription = ""\nauthors = []\n'
            'packages = [{include = "app"}]\n[tool.poetry.dependencies]\npython = ">=3.9"\nsix = "*"\n'
            "[tool.poetry-dynamic-versioning]\nenable = true\n"
            + system("poetry_dynamic_versioning.backend", "poetry-core", "poetry-dynamic-versioning"),
            "app/__init__.py": "",
        },
        "2.3.0",
        history=("tag v2.3.0",),
    ),
    "use_scm_version": Shape(
        {
            "setup.py": "from setuptools import setup\nsetup(name='lib', packages=['app'], use_scm_version="
            "{'version_scheme': 'no-guess-dev', 'local_scheme': 'no-local-version', 'tag_regex':"
            " r'^app-(?P<version>[0-9.]+)$', 'git_describe_command':"
            " 'git describe --dirty --tags --long --match app-*'})\n",
            "pyproject.toml": system(SETUPTOOLS, "setuptools", "setuptools-scm"),
            "app/__init__.py": "",
        },
        "3.1.0.post1.dev1",
        "pip",
        history=("tag app-3.1.0", "commit", "tag v9.9.9"),
    ),
    "hatch-vcs-with-its-root-above": Shape(
        {
            "proj/pyproject.toml": project("lib")
            + system("hatchling.build", "hatchling", "hatch-vcs")
            + '[tool.hatch.version]\nsource = "vcs"\n[tool.hatch.version.raw-options]\nroot = ".."\n'
            + 'local_scheme = "no-local-version"\ntag_regex = "^proj-v(?P<version>[0-9.]+)$"\n'
            + 'git_describe_command = ["git", "describe", "--dirty", "--tags", "--long", "--match", "proj-v*"]\n'
            + '[tool.hatch.build.targets.wheel]\npackages = ["app"]\n',
            "proj/app/__init__.py": "",
        },
        "3.1.1.dev1",
        "hatch",
        package="proj",
        history=("tag proj-v3.1.0", "commit", "tag v9.9.9"),
    ),
    "setup-py-that-runs-git": Shape(
        {
            "setup.py": "import subprocess\nfrom setuptools import setup\n"
            "said = subprocess.run(['git', 'describe', '--tags', '--dirty'], capture_output=True, text=True)\n"
            "setup(name='lib', packages=['app'], version=said.stdout.strip().lstrip('v'))\n",
            "app/__init__.py": "",
        },
        "4.2",
        history=("tag v4.2",),
        inputs=Inputs.UNKNOWN,
    ),
    "a-dirty-tree": Shape(
        {
            "proj/pyproject.toml": project("lib")
            + system("hatchling.build", "hatchling", "hatch-vcs")
            + '[tool.hatch.version]\nsource = "vcs"\n[tool.hatch.version.raw-options]\nroot = ".."\n'
            + '[tool.hatch.build.targets.wheel]\npackages = ["app"]\n',
            "proj/app/__init__.py": "",
            "other/notes.txt": "one\n",
            "data.pem": "left out\n",
        },
        r"1\.1\.dev0\+g[0-9a-f]+\.d\d{8}",
        "hatch",
        package="proj",
        history=("tag v1.0",),
        then=lambda root: (root / "other/notes.txt").write_text("two\n"),
    ),
    "a-secret-that-is-committed-makes-nothing-dirty": Shape(
        {
            "pyproject.toml": project("lib")
            + system(SETUPTOOLS, "setuptools", "setuptools-scm")
            + '[tool.setuptools_scm]\n[tool.setuptools]\npackages = ["app"]\n',
            "app/__init__.py": "",
            "deploy.pem": "a key\n",
        },
        "1.0",
        history=("tag v1.0",),
    ),
    # Files from git
    "the-file-finder-of-setuptools-scm": Shape(
        {
            "lib/pyproject.toml": project("lib")
            + system(SETUPTOOLS, "setuptools>=64", "setuptools-scm>=8")
            + '[tool.setuptools_scm]\nroot = ".."\n',
            "lib/src/lib_sql/__init__.py": "",
            "lib/src/lib_sql/queries/a.sql": "select 1\n",
            "lib/src/lib_sql/queries/__init__.py": "",
        },
        "2.3.0",
        "pip",
        package="lib",
        history=("tag v2.3.0",),
        wheel_has=("lib_sql/queries/a.sql",),
    ),
    "hatchling-obeys-the-gitignore-above": Shape(
        {
            "lib/pyproject.toml": project("lib", version="1.0") + system("hatchling.build", "hatchling"),
            "lib/lib/__init__.py": "",
            "lib/lib/big.csv": "1\n",
            ".gitignore": "*.csv\n",
        },
        "1.0",
        "hatch",
        package="lib",
        inputs=Inputs.FILES,
    ),
    "poetry-core-takes-what-is-tracked-though-ignored": Shape(
        {
            "lib/pyproject.toml": project("lib", version="1.0") + system("poetry.core.masonry.api", "poetry-core"),
            "lib/lib/__init__.py": "",
            "lib/lib/new.csv": "1\n",
            "lib/lib/forced.csv": "1\n",
        },
        "1.0",
        "poetry",
        package="lib",
        then=lambda root: (root / ".gitignore").write_text("*.csv\n"),
        inputs=Inputs.FILES,
        wheel_has=("lib/forced.csv",),
    ),
    # Files above the package
    "setup-py-that-reads-above": Shape(
        {
            "proj/setup.py": "from pathlib import Path\nfrom setuptools import setup\n"
            "ROOT = Path(__file__).resolve().parent.parent\nsetup(name='proj', packages=['app'],"
            " version=(ROOT / 'VERSION').read_text().strip(),"
            " install_requires=(ROOT / 'base.txt').read_text().split())\n",
            "proj/app/__init__.py": "",
            "VERSION": "1.4\n",
            "base.txt": "six==1.16.0\n",
        },
        "1.4",
        package="proj",
        inputs=Inputs.UNKNOWN,
        requires=("six==1.16.0",),
    ),
    "force-include-of-a-neighbour": Shape(
        {
            "proj/pyproject.toml": project("proj", version="1.0")
            + system("hatchling.build", "hatchling")
            + '[tool.hatch.build.targets.wheel]\npackages = ["src/app"]\n'
            + '[tool.hatch.build.targets.wheel.force-include]\n"../schemas" = "app/schemas"\n',
            "proj/src/app/__init__.py": "",
            "schemas/a.json": "{}\n",
        },
        "1.0",
        "hatch",
        package="proj",
        inputs=Inputs.UNKNOWN,
        wheel_has=("app/schemas/a.json",),
    ),
    "setuptools-reads-version-and-requirements-above": Shape(
        {
            "libs/a/pyproject.toml": '[project]\nname = "a"\ndynamic = ["version", "dependencies"]\n'
            + system(SETUPTOOLS, "setuptools")
            + '[tool.setuptools]\npackages = ["a"]\n'
            + '[tool.setuptools.dynamic]\nversion = {file = "VERSION"}\n'
            + 'dependencies = {file = "requirements.in"}\n',
            "libs/a/a/__init__.py": "",
            "requirements.in": "six>=1\n",
            "VERSION": "7.1\n",
        },
        "7.1",
        package="libs/a",
        # setuptools refuses files outside the package, but follows symlinks to them.
        then=lambda root: link_up(root / "libs/a", "VERSION", "requirements.in"),
        inputs=Inputs.FILES,
        requires=("six>=1",),
    ),
    "hatchling-names-a-neighbour-by-its-place": Shape(
        {
            "apps/a/pyproject.toml": '[project]\nname = "a"\nversion = "1.0"\n'
            'dependencies = ["shared @ {root:parent:parent:uri}/shared"]\n'
            + system("hatchling.build", "hatchling")
            + "[tool.hatch.metadata]\nallow-direct-references = true\n"
            + '[tool.hatch.build.targets.wheel]\npackages = ["a"]\n',
            "apps/a/a/__init__.py": "",
        },
        "1.0",
        "hatch",
        package="apps/a",
        inputs=Inputs.FILES,
        requires=("shared @ file://{root}/shared",),
    ),
    # Data files, dynamic requirements, other places
    "setuptools-data-of-three-kinds": Shape(
        {
            "pyproject.toml": '[project]\nname = "lib"\n'
            'dynamic = ["version", "dependencies", "optional-dependencies"]\n'
            + system(SETUPTOOLS, "setuptools")
            + '[tool.setuptools.packages.find]\nwhere = ["src"]\n'
            + '[tool.setuptools.package-data]\nlib = ["sql/*.sql"]\n'
            + '[tool.setuptools.data-files]\n"share/lib" = ["conf/*.toml"]\n'
            + '[tool.setuptools.dynamic]\nversion = {attr = "lib.version.CURRENT"}\n'
            + 'dependencies = {file = ["base.txt", "more.txt"]}\n'
            + 'optional-dependencies.fast = {file = "fast.txt"}\n',
            "src/lib/__init__.py": "",
            "src/lib/version.py": "CURRENT = '.'.join(map(str, (1, 5)))\n",
            "src/lib/sql/a.sql": "select 1\n",
            "src/lib/listed.csv": "1\n",
            "src/lib/left_out.csv": "1\n",
            "conf/lib.toml": "",
            "MANIFEST.in": "include src/lib/listed.csv\n",
            "base.txt": "# comment\nsix>=1\n",
            "more.txt": "attrs; python_version >= '3.9'\n",
            "fast.txt": "numpy\n",
        },
        "1.5",
        "pip",
        inputs=Inputs.UNKNOWN,
        wheel_has=("lib/sql/a.sql", "lib/listed.csv", "lib-1.5.data/data/share/lib/lib.toml"),
        requires=("six>=1", 'attrs; python_version >= "3.9"', 'numpy; extra == "fast"'),
    ),
    "hatchling-asks-environment-and-hook": Shape(
        {
            "pyproject.toml": '[project]\nname = "lib"\ndynamic = ["version", "dependencies"]\n'
            + system("hatchling.build", "hatchling", "hatch-requirements-txt")
            + '[tool.hatch.version]\nsource = "env"\nvariable = "RELEASE_OF_LIB"\n'
            + '[tool.hatch.metadata.hooks.requirements_txt]\nfiles = ["requirements.txt"]\n'
            + '[tool.hatch.build.targets.wheel]\npackages = ["lib"]\n'
            + '[tool.hatch.build.targets.wheel.shared-data]\n"conf" = "share/lib"\n',
            "lib/__init__.py": "",
            "conf/lib.toml": "",
            "requirements.txt": "six>=1\n",
        },
        "6.1",
        "hatch",
        inputs=Inputs.UNKNOWN,
        wheel_has=("lib-6.1.data/data/share/lib/lib.toml",),
        requires=("six>=1",),
        environment={"RELEASE_OF_LIB": "6.1"},
    ),
    "pdm-with-a-hook-nobody-names": Shape(
        {
            "apps/a/pyproject.toml": '[project]\nname = "lib"\ndynamic = ["version"]\n'
            'dependencies = ["shared @ file:///${PROJECT_ROOT}/../../shared"]\n'
            + system("pdm.backend", "pdm-backend")
            + '[tool.pdm.version]\nsource = "call"\ngetter = "release:get"\n'
            + '[tool.pdm.build]\npackage-dir = "src"\n'
            + '[tool.pdm.build.wheel-data]\ndata = [{path = "conf/*.toml", relative-to = "."}]\n',
            "apps/a/pdm_build.py": "def pdm_build_initialize(context):\n"
            "    context.config.metadata['dependencies'].append('six>=1')\n",
            "apps/a/src/lib/__init__.py": "",
            "apps/a/src/lib/a.sql": "select 1\n",
            "apps/a/release.py": "def get():\n    return open('../../VERSION').read().strip()\n",
            "apps/a/conf/lib.toml": "",
            "VERSION": "5.2\n",
        },
        "5.2",
        "pdm",
        package="apps/a",
        inputs=Inputs.UNKNOWN,
        wheel_has=("lib/a.sql", "lib-5.2.data/data/conf/lib.toml"),
        requires=("six>=1", "shared @ file://{root}/apps/a/../../shared"),
    ),
    "poetry-takes-packages-and-paths-from-several-places": Shape(
        {
            "apps/a/pyproject.toml": '[tool.poetry]\nname = "lib"\nversion = "1.0"\n'
            'description = ""\nauthors = []\n'
            'packages = [{include = "app", from = "src"}, {include = "tools", to = "app"}]\n'
            'include = [{path = "conf/*.toml", format = "wheel"}]\nexclude = ["src/app/drafts/*"]\n'
            '[tool.poetry.dependencies]\npython = ">=3.9"\nshared = {path = "../../shared", develop = true}\n'
            'six = {version = "^1.16", optional = true}\n[tool.poetry.extras]\nold = ["six"]\n'
            + system("poetry.core.masonry.api", "poetry-core"),
            "apps/a/src/app/__init__.py": "",
            "apps/a/src/app/a.sql": "select 1\n",
            "apps/a/src/app/drafts/b.sql": "select 2\n",
            "apps/a/tools/__init__.py": "",
            "apps/a/conf/lib.toml": "",
            "shared/pyproject.toml": project("shared", version="1.0") + system(SETUPTOOLS, "setuptools"),
        },
        "1.0",
        "poetry",
        package="apps/a",
        inputs=Inputs.FILES,
        wheel_has=("app/a.sql", "app/tools/__init__.py", "conf/lib.toml"),
        requires=("shared @ file://{root}/shared", 'six (>=1.16,<2.0) ; extra == "old"'),
    ),
    "flit-with-data-elsewhere": Shape(
        {
            "pyproject.toml": '[project]\nname = "lib"\ndynamic = ["version", "description"]\n'
            'dependencies = ["six"]\n[project.scripts]\nlib = "lib:main"\n'
            + system("flit_core.buildapi", "flit_core")
            + '[tool.flit.external-data]\ndirectory = "data"\n',
            "lib/__init__.py": '"""A library."""\n__version__ = "1.7"\n',
            "lib/sql/a.sql": "select 1\n",
            "data/share/lib/lib.toml": "",
        },
        "1.7",
        "flit",
        inputs=Inputs.FILES,
        wheel_has=("lib/sql/a.sql", "lib-1.7.data/data/share/lib/lib.toml"),
    ),
    "uv-build-with-data-elsewhere": Shape(
        {
            "pyproject.toml": project("lib", version="1.0")
            + system("uv_build", "uv_build>=0.8,<1")
            + '[tool.uv.build-backend]\nmodule-root = ""\nmodule-name = "corp.lib"\nwheel-exclude = ["*.csv"]\n'
            + 'data = {data = "data"}\n',
            "corp/lib/__init__.py": "",
            "corp/lib/a.sql": "select 1\n",
            "corp/lib/a.csv": "1\n",
            "data/share/lib/lib.toml": "",
        },
        "1.0",
        inputs=Inputs.FILES,
        wheel_has=("corp/lib/a.sql", "lib-1.0.data/data/share/lib/lib.toml"),
    ),
    # Based on public bug reports
    "setuptools-scm-176-relative-to-the-file": Shape(
        {
            "plugins/setup.py": "from setuptools import setup\n"
            "setup(name='plugins', packages=['plugins'],"
            " use_scm_version={'root': '..', 'relative_to': __file__})\n",
            "plugins/pyproject.toml": system(SETUPTOOLS, "setuptools", "setuptools-scm"),
            "plugins/plugins/__init__.py": "",
        },
        "3.9.0",
        package="plugins",
        history=("tag 3.9.0",),
        inputs=Inputs.UNKNOWN,
    ),
    "setuptools-scm-138-get-version": Shape(
        {
            "common/setup.py": "from setuptools import setup\nfrom setuptools_scm import get_version\n"
            "setup(name='common', packages=['common'], version=get_version(root='..', relative_to=__file__))\n",
            "common/pyproject.toml": system(SETUPTOOLS, "setuptools", "setuptools-scm"),
            "common/common/__init__.py": "",
        },
        "2.2.0",
        package="common",
        history=("tag 2.2.0",),
        inputs=Inputs.UNKNOWN,
    ),
    "pip-5544-a-file-relative-to-the-working-directory": Shape(
        {
            "project/setup.py": "from setuptools import setup\nwith open('../ext_file.txt') as fh:\n"
            "    version = fh.read().strip()\nsetup(name='project', packages=['pypackage'], version=version)\n",
            "project/pypackage/__init__.py": "",
            "ext_file.txt": "5.5.44\n",
        },
        "5.5.44",
        "pip",
        package="project",
        inputs=Inputs.UNKNOWN,
    ),
    "pip-7555-a-link-to-a-file-outside-of-the-package": Shape(
        {
            "project/pyproject.toml": project("project", version="1.0") + system("hatchling.build", "hatchling"),
            "project/project/__init__.py": "",
            "shared/schema.sql": "select 1\n",
        },
        "1.0",
        "pip",
        package="project",
        then=lambda root: (root / "project/project/schema.sql").symlink_to("../../shared/schema.sql"),
        inputs=Inputs.FILES,
        wheel_has=("project/schema.sql",),
    ),
    "hatch-1964-a-root-that-an-ignore-file-names": Shape(
        {
            "pyproject.toml": project("lib", version="1.0") + system("hatchling.build", "hatchling"),
            "lib/__init__.py": "",
            "lib/data/test.txt": "",
            ".gitignore": "tree\ntmp\nlib/data/test.txt\n",
        },
        "1.0",
        "hatch",
        inputs=Inputs.FILES,
    ),
    "hatch-1069-an-ignore-file-in-no-repository": Shape(
        {
            "dagster_cloud.yaml": "locations: []\n",
            ".gitignore": "sub\n",
            "sub/pyproject.toml": project("sub", version="1.0") + system("hatchling.build", "hatchling"),
            "sub/sub/__init__.py": "",
        },
        "1.0",
        "hatch",
        package="sub",
        then=lambda root: shutil.rmtree(root / ".git"),
        inputs=Inputs.FILES,
    ),
    "a-version-by-the-name-of-the-directory": Shape(
        {
            "setup.py": "import pathlib\nfrom setuptools import setup\n"
            "here = pathlib.Path(__file__).resolve().parent\n"
            "setup(name='a', packages=['a'], version='1.0+' + here.name)\n",
            "a/__init__.py": "",
        },
        "1.0+tree",
        inputs=Inputs.UNKNOWN,
    ),
}


def lay_out(shape: Shape, root: Path) -> Path:
    """Create the shape's repository; returns the package's directory."""
    repository = Repository.create(root)
    for name, text in shape.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    repository.git("add", "--all", "--force")
    repository.commit("one")
    for step in shape.history:
        word, _, name = step.partition(" ")
        repository.git("tag", "-a", name, "-m", name) if word == "tag" else repository.commit(word)
    shape.then(root)
    return root / shape.package
