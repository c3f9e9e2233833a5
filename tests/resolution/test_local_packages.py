"""Building local packages with the same version, files and requirements as the project's own tool.

The expected result is what `uv build` makes of a clone of the same checkout, in the same test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builder.resolution import build_tree, uv
from builder.resolution.backend import LocalPackages
from builder.resolution.build_inputs import Inputs, inputs_of
from builder.system import process, storage
from tests.support.repositories import Repository

pytestmark = [pytest.mark.slow, pytest.mark.network]

PYTHON = "3.11"


@dataclass(frozen=True)
class Shape:
    """A repository with one package, and changes after the first commit.

    :param version: the expected version of the package, taken from a run of `uv build`.
    """

    files: Mapping[str, str]
    version: str
    package: str = "."
    history: tuple[str, ...] = ()
    inputs: Inputs = Inputs.REPOSITORY
    wheel_has: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    then: Callable[[Path], object] = field(default=lambda _: None)


def system(backend: str, *requires: str) -> str:
    names = ", ".join(f'"{name}"' for name in requires)
    return f'[build-system]\nrequires = [{names}]\nbuild-backend = "{backend}"\n'


def project(name: str, *, version: str | None = None) -> str:
    line = f'version = "{version}"' if version else 'dynamic = ["version"]'
    return f'[project]\nname = "{name}"\n{line}\ndependencies = ["six"]\n'


def link_up(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).symlink_to(f"../../{name}")


SETUPTOOLS = "setuptools.build_meta"
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
        package="apps/a",
        inputs=Inputs.FILES,
        requires=("shared @ file://{root}/shared",),
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkout" / "tree"


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


def everything(root: Path) -> dict[Path, tuple[bytes, int]]:
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}


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


BACKEND = """
import json, os, subprocess, zipfile
from pathlib import Path

def git(*arguments):
    finished = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return finished.stdout.strip() or finished.stderr.strip()

def around():
    top = Path("..").resolve()
    return sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if ".git" not in path.parts)

def build_wheel(directory, config_settings=None, metadata_directory=None):
    answer = {PROBE}
    with zipfile.ZipFile(os.path.join(directory, "lib-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("answer.json", json.dumps(answer))
        wheel.writestr("lib-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: lib\\nVersion: 1.0\\n")
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("lib-1.0.dist-info/WHEEL", kind)
        wheel.writestr("lib-1.0.dist-info/RECORD", "")
    return "lib-1.0-py3-none-any.whl"
"""


def probe(directory: Path, expression: str) -> Path:
    """Create a package whose backend has no requirements and reports the value of a Python expression."""
    directory.mkdir(parents=True, exist_ok=True)
    table = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (directory / "pyproject.toml").write_text(table)
    (directory / "backend.py").write_text(BACKEND.replace("{PROBE}", expression))
    return directory


def answer(package: Path, packages: LocalPackages | None = None) -> Any:  # noqa: ANN401
    with zipfile.ZipFile((packages or LocalPackages(PYTHON)).wheel(package)) as wheel:
        return json.loads(wheel.read("answer.json"))


def commit_all(repository: Repository, tag: str) -> None:
    repository.git("add", "--all", "--force")
    repository.commit()
    repository.git("tag", tag)


DESCRIBE = "git('describe', '--tags', '--dirty')"
STATUS = "git('status', '--porcelain')"


@pytest.mark.parametrize("most", [5_000, 2], ids=["copied", "too large to be copied"])
def test_what_lies_around_a_package_is_there_but_for_secrets_and_leftovers(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(build_tree, "MOST_FILES", most)
    repository = Repository.create(root)
    package = probe(root / "lib", f"[around(), Path('../VERSION').read_text(), {DESCRIBE}, {STATUS}]")
    for name in ("VERSION", "schemas/a.json", "schemas/deep/b.json", ".env", "other/.env", "other/id_rsa"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    commit_all(repository, "v1")
    (root / ".venv").mkdir()
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr\n")
    names = ["VERSION", "lib", "lib/backend.py", "lib/pyproject.toml"]
    names += ["schemas", "schemas/a.json", "schemas/deep", "schemas/deep/b.json"]
    # Files that are left out do not make the tree dirty, nor do the backend's leftovers.
    found, version, described, status = answer(package)
    assert [name for name in found if not name.startswith("lib/__pycache__")] == names
    assert (version, described, status) == ("VERSION", "v1", "")
    # Modified files of the user's tree are modified in the copy.
    (root / "schemas/a.json").write_text("changed")
    described, status = answer(package)[2:]
    assert (described, status[1:]) == ("v1-dirty", " schemas/a.json")


@pytest.mark.parametrize("most", [5_000, 2], ids=["copied", "too large to be copied"])
def test_what_a_build_writes_reaches_neither_the_tree_nor_the_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(build_tree, "MOST_FILES", most)
    repository = Repository.create(root)
    writes = "[Path(name).write_text('mine') for name in ('new.txt', '../VERSION', '../made.txt', '../schemas/c')]"
    identity = "'-c', 'user.name=a', '-c', 'user.email=b'"
    gits = f"[git('tag', 'mine'), git('add', '-A'), git({identity}, 'commit', '-m', 'x')]"
    package = probe(root / "lib", f"[{writes}, {gits}, git('log', '--format=%s')]")
    (root / "VERSION").write_text("1")
    (root / "schemas").mkdir()
    (root / "schemas/a.json").write_text("{}")
    commit_all(repository, "v1")
    before = everything(root)
    log = answer(package)[2]
    assert log.splitlines()[0] == "x"
    assert everything(root) == before


def test_configuration_and_hooks_of_the_repository_are_not_executed(root: Path, tmp_path: Path) -> None:
    repository = Repository.create(root)
    package = probe(root, f"[{DESCRIBE}, {STATUS}, git('checkout', '-q', '-b', 'mine')]")
    (root / ".gitattributes").write_text("*.txt filter=evil\n")
    (root / "a.txt").write_text("a")
    commit_all(repository, "v1")
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    evil.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "core.sshCommand"):
        repository.git("config", key, str(evil))
    shutil.copy(evil, root / ".git/hooks/post-checkout")
    (root / "a.txt").write_text("b")
    assert answer(package) == ["v1-dirty", "M a.txt", ""]
    assert not (tmp_path / "ran").exists()


def test_submodules_worktrees_and_shallow_clones_are_repositories_too(tmp_path: Path) -> None:
    library = Repository.create(tmp_path / "library")
    probe(library.path, f"[{DESCRIBE}, {STATUS}, Path('../VERSION').read_text()]")
    commit_all(library, "lib-7")
    superproject = Repository.create(tmp_path / "superproject")
    superproject.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.path), "lib")
    (superproject.path / "VERSION").write_text("above")
    commit_all(superproject, "v1")
    assert answer(superproject.path / "lib") == ["lib-7", "", "above"]

    probe(library.path, f"[{DESCRIBE}, git('rev-parse', '--is-shallow-repository', '--abbrev-ref', 'HEAD')]")
    library.git("commit", "-q", "-am", "two")
    library.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    described, rest = answer(tmp_path / "side")
    assert (described[:8], rest.split()) == ("lib-7-1-", ["false", "side"])
    library.git("clone", "-q", "--depth=1", f"file://{library.path}", str(tmp_path / "shallow"))
    described, rest = answer(tmp_path / "shallow")
    assert (described, rest.split()) == ("fatal: No names found, cannot describe anything.", ["true", "main"])


def test_without_a_repository_the_workspace_is_what_a_build_sees(tmp_path: Path) -> None:
    package = probe(tmp_path / "mono" / "lib", f"[around(), {STATUS}]")
    (tmp_path / "mono" / "VERSION").write_text("1")
    (tmp_path / "mono" / "dagster_cloud.yaml").write_text("locations: []")
    found, status = answer(package)
    assert {"VERSION", "dagster_cloud.yaml"} <= set(found)
    assert status.startswith("fatal: not a git repository")
    (tmp_path / "mono" / "dagster_cloud.yaml").unlink()
    assert answer(package)[0][0] == "lib"


def test_git_of_a_hook_does_not_lead_a_build_to_another_repository(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = Repository.create(root)
    package = probe(root, DESCRIBE)
    commit_all(repository, "v1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert answer(package) == "v1"


class Builds:
    """Counts uv's builds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        run = uv.run

        def counting(arguments: Sequence[str | Path], **more: Any) -> process.Finished:  # noqa: ANN401
            self.number += arguments[0] == "build"
            return run(arguments, **more)

        monkeypatch.setattr(uv, "run", counting)


def test_a_package_with_known_inputs_is_built_once_and_one_whose_code_runs_once_in_each_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", "one")
    builds = Builds(monkeypatch)
    known = root / "known"
    (known / "known").mkdir(parents=True)
    (known / "known/__init__.py").write_text(f"# {root}")
    (known / "pyproject.toml").write_text(project("known", version="1.0") + system("hatchling.build", "hatchling"))
    first = LocalPackages(PYTHON).wheel(known)
    assert LocalPackages(PYTHON).wheel(known) == first
    assert builds.number == 1

    package = probe(root / "probe", "os.environ['VALUE']")
    packages = LocalPackages(PYTHON)
    assert (answer(package, packages), answer(package, packages)) == ("one", "one")
    assert builds.number == 2
    monkeypatch.setenv("VALUE", "two")
    assert answer(package) == "two"


@pytest.mark.parametrize("variable", ["SETUPTOOLS_SCM_PRETEND_VERSION", "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_LIB"])
def test_a_version_by_git_changes_with_tags_and_variables_only(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    package = lay_out(SHAPES["the-file-finder-of-setuptools-scm"], root)
    (package / "src/lib_sql/__init__.py").write_text(f"# {root}")
    commit_all(Repository(root), "v2.3.1")
    builds = Builds(monkeypatch)
    repository = Repository(root)

    def version() -> str:
        return LocalPackages(PYTHON).wheel(package).name.split("-")[1]

    assert (version(), version(), builds.number) == ("2.3.1", "2.3.1", 1)
    repository.commit()
    repository.git("tag", "v2.4.0")
    assert version() == "2.4.0"
    monkeypatch.setenv(variable, "9.1")
    assert version() == "9.1"


def test_metadata_alone_is_made_in_the_same_tree(root: Path) -> None:
    package = lay_out(SHAPES["setup-py-that-reads-above"], root)
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.16.0",)
    (root / "base.txt").write_text("six==1.15.0\n")
    assert LocalPackages(PYTHON).metadata(package).requires == ("six==1.15.0",)


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
    (tmp_path / name).write_text(text)
    assert inputs_of(tmp_path) is inputs
