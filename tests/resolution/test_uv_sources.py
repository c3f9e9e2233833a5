"""Where uv takes a project's requirements from, and what `uv export` says of the same project in the same test."""

from __future__ import annotations

import ast
import os
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker

from builder.project.requirements import RequestedExtras
from builder.resolution import uv
from builder.resolution.resolve import local_packages, resolve
from builder.resolution.target import serverless_target
from tests.support.commands import DAGSTER, write_tree
from tests.support.index import Index, serving
from tests.support.repositories import git
from tests.support.requirements import read
from tests.support.wheels import make_wheel

TARGET = serverless_target("3.11")
CHECKOUT = "checkout/"
SYSTEM = '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'


def project(name: str, *dependencies: str, more: str = "", build: str = SYSTEM) -> str:
    listed = ", ".join(f'"{each}"' for each in dependencies)
    listed = '"dagster", "dagster-cloud", ' + listed if name == "app" else listed
    head = f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.10"\ndependencies = [{listed}]\n'
    return head + more + build


@dataclass(frozen=True)
class Shape:
    """The files of a checkout, and what of the project in `app` is installed.

    :param found: versions of distributions, and directories of local packages, besides dagster.
    """

    files: Mapping[str, str]
    found: Mapping[str, str]
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


CONFLICTS = """
[project.optional-dependencies]
cpu = ["tool"]
gpu = ["tool"]
[tool.uv]
conflicts = [[{ extra = "cpu" }, { extra = "gpu" }]]
[tool.uv.sources]
tool = [
    { path = "../cpu", extra = "cpu" },
    { path = "../gpu", extra = "gpu", marker = "sys_platform == 'win32'" },
    { index = "ours", extra = "gpu", marker = "sys_platform != 'win32'" },
]
[[tool.uv.index]]
name = "ours"
url = "@PRIVATE@"
explicit = true
"""
GROUPS = """
[dependency-groups]
base = ["extra", "shared"]
more = [{ include-group = "Base" }, "needed"]
windows = ["devtool"]
[tool.uv]
default-groups = ["windows"]
[tool.uv.sources]
shared = [{ path = "../shared", group = "base" }]
"""
EXPLICIT = """
[tool.uv]
index = [{ name = "ours", url = "@PRIVATE@", explicit = true }]
[tool.uv.sources]
tool = { index = "ours", marker = "sys_platform == 'linux'" }
"""
WORKSPACE = """
[project]
name = "root"
version = "1.0"
requires-python = ">=3.10"
[tool.uv.workspace]
members = ["app", "libs/*/*"]
exclude = ["libs/*/old"]
[tool.uv.sources]
shared = { workspace = true }
common = { path = "elsewhere/common" }
tool = { index = "ours" }
[[tool.uv.index]]
name = "ours"
url = "@PRIVATE@"
explicit = true
"""
SHAPES = {
    "project-root": Shape(
        {
            "app/pyproject.toml": project("app", "shared[fast] @ file:///${PROJECT_ROOT}/../shared"),
            "shared/pyproject.toml": project(
                "shared", "needed", more='[project.optional-dependencies]\nfast = ["extra"]\n'
            ),
        },
        {"shared": "shared", "needed": "2.0", "extra": "2.0"},
    ),
    "project-root-of-an-extra": Shape(
        {
            "app/pyproject.toml": project(
                "app",
                more='[project.optional-dependencies]\nx = ["shared @ file://${PROJECT_ROOT}/../shared"]\n',
            ),
            "shared/pyproject.toml": project("shared", "other @ file:///${PROJECT_ROOT}/../other"),
            "other/pyproject.toml": project("other"),
        },
        {"shared": "shared", "other": "other"},
        extras=("x",),
    ),
    "workspace": Shape(
        {
            "pyproject.toml": WORKSPACE,
            "app/pyproject.toml": project("app", "shared[fast]", "tool"),
            "libs/deep/down/pyproject.toml": project(
                "shared", "common", more='[project.optional-dependencies]\nfast = ["extra"]\n'
            ),
            "libs/deep/old/pyproject.toml": project("shared"),
            "elsewhere/common/pyproject.toml": project("common", "needed"),
        },
        {"shared": "libs/deep/down", "common": "elsewhere/common", "needed": "2.0", "extra": "2.0", "tool": "1.5"},
    ),
    "path-that-is-no-package": Shape(
        {
            "app/pyproject.toml": project(
                "app", "shared", "other", more="[tool.uv.sources]\n"
                'shared = { path = "../shared", package = false }\n'
                'other = { path = "../other", editable = true }\n'
            ),
            "shared/pyproject.toml": project("shared", "needed"),
            "other/pyproject.toml": project("other", "extra", more="[tool.uv]\npackage = false\n"),
        },
        {"needed": "2.0", "other": "other", "extra": "2.0"},
    ),
    "path-without-a-build-system": Shape(
        {
            "app/pyproject.toml": project(
                "app", "shared", "other", more='[tool.uv.sources]\nshared = { path = "../shared" }\n'
                'other = { path = "../other", package = true }\n'
            ),
            "shared/pyproject.toml": project("shared", "needed", build=""),
            "other/pyproject.toml": project("other", "extra", build=""),
        },
        {"shared": "shared", "needed": "2.0", "other": "other", "extra": "2.0"},
    ),
    "workspace-member-without-a-build-system": Shape(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["*"]\n',
            "app/pyproject.toml": project(
                "app", "shared", "other", more="[tool.uv.sources]\nshared = { workspace = true }\n"
                "other = { workspace = true }\n"
            ),
            "shared/pyproject.toml": project("shared", "needed", build=""),
            "other/pyproject.toml": project("other", "extra", more="[tool.uv]\npackage = false\n"),
        },
        {"shared": "shared", "needed": "2.0", "extra": "2.0"},
    ),
    "url-of-what-is-no-package-for-uv": Shape(
        {
            "app/pyproject.toml": project("app", "shared @ file:///${PROJECT_ROOT}/../shared"),
            "shared/pyproject.toml": project("shared", "needed", more="[tool.uv]\npackage = false\n"),
        },
        {"shared": "shared", "needed": "2.0"},
    ),
    "git": Shape(
        {
            "app/pyproject.toml": project(
                "app", "far", "tagged", more="[tool.uv.sources]\n"
                'far = { git = "@GIT@", subdirectory = "py/far" }\n'
                'tagged = { git = "@GIT@", tag = "v1", subdirectory = "py/tagged" }\n'
            ),
        },
        {"far": "1.0", "tagged": "1.0", "extra": "2.0"},
    ),
    "conflicts-path": Shape(
        {
            "app/pyproject.toml": project("app", more=CONFLICTS),
            "cpu/pyproject.toml": project("tool", "needed"),
            "gpu/pyproject.toml": project("tool", "devtool"),
        },
        {"tool": "cpu", "needed": "2.0"},
        extras=("cpu",),
    ),
    "conflicts-index": Shape(
        {
            "app/pyproject.toml": project("app", more=CONFLICTS),
            "cpu/pyproject.toml": project("tool", "needed"),
            "gpu/pyproject.toml": project("tool"),
        },
        {"tool": "1.5"},
        extras=("gpu",),
    ),
    "groups": Shape(
        {
            "app/pyproject.toml": project("app", "tool", more=GROUPS),
            "shared/pyproject.toml": project("shared"),
        },
        {"tool": "2.0", "extra": "2.0", "shared": "shared", "needed": "2.0"},
        groups=("more",),
    ),
    "explicit-index": Shape(
        {"app/pyproject.toml": project("app", "tool", "extra", more=EXPLICIT)},
        {"tool": "1.5", "extra": "2.0"},
    ),
    "overrides": Shape(
        {
            "app/pyproject.toml": project(
                "app", "tool", "extra", "needed", more='[tool.uv]\noverride-dependencies = ["tool==1.0"]\n'
                'constraint-dependencies = ["extra<2"]\nexclude-dependencies = ["needed"]\n'
            )
        },
        {"tool": "1.0", "extra": "1.0"},
    ),
    "lowest": Shape(
        {"app/pyproject.toml": project("app", "tool>=1", more='[tool.uv]\nresolution = "lowest-direct"\n')},
        {"tool": "1.0"},
    ),
    "dev-dependencies": Shape(
        {"app/pyproject.toml": project("app", "tool", more='[tool.uv]\ndev-dependencies = ["devtool"]\n')},
        {"tool": "2.0", "devtool": "2.0"},
        groups=("dev",),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Shelves:
    public: Index
    private: Index
    repository: Path


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelves]:
    public, private = tmp_path_factory.mktemp("public"), tmp_path_factory.mktemp("private")
    for name in ("dagster", "dagster-cloud"):
        make_wheel(public, {}, name=name, version=DAGSTER)
    for name in ("tool", "extra", "devtool", "needed"):
        for version in ("1.0", "2.0"):
            make_wheel(public, {}, name=name, version=version)
    make_wheel(private, {}, name="tool", version="1.5")
    repository = tmp_path_factory.mktemp("repository")
    write_tree(
        repository,
        {"py/far/pyproject.toml": project("far", "extra"), "py/tagged/pyproject.toml": project("tagged")},
    )
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "one")
    git(repository, "tag", "v1")
    with serving(public) as one, serving(private) as other:
        yield Shelves(one, other, repository)


def exported(app: Path, options: Sequence[str]) -> dict[str, str]:
    """What `uv export` writes for the target: versions and directories by name. Leaves a uv.lock."""
    command = [str(uv.executable()), "export", "--quiet", "--format", "pylock.toml", "--no-emit-project", *options]
    ran = subprocess.run(command, cwd=app, check=False, capture_output=True, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    found = {}
    for package in tomllib.loads(ran.stdout)["packages"]:
        if "marker" not in package or Marker(package["marker"]).evaluate(dict(TARGET.markers)):
            place = package.get("directory", {}).get("path")
            found[package["name"]] = directory_of(app / place) if place else package["version"]
    return found


def directory_of(path: Path) -> str:
    return os.path.normpath(path).rpartition(CHECKOUT)[2]


def taken(app: Path, wanted: RequestedExtras) -> dict[str, str]:
    """The same of the builder."""
    requirements = read(app, wanted)
    assert (requirements.lock is not None) is bool(list(app.parent.rglob("uv.lock")))
    own = {
        tomllib.loads((path / "pyproject.toml").read_text())["project"]["name"]: directory_of(path)
        for path in local_packages(requirements, TARGET)
        if path != app
    }
    return {**resolve(requirements, TARGET).lock.versions, **own}


@pytest.mark.parametrize("name", SHAPES)
def test_requirements_come_from_where_uv_takes_them(
    name: str, shelves: Shelves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[name]
    monkeypatch.setenv("UV_DEFAULT_INDEX", shelves.public.url)
    files = (
        str(shape.files).replace("@PRIVATE@", shelves.private.url).replace("@GIT@", shelves.repository.as_uri())
    )
    write_tree(tmp_path / CHECKOUT, ast.literal_eval(files))
    app = tmp_path / CHECKOUT / "app"
    wanted = RequestedExtras(extras=shape.extras, groups=shape.groups)
    without_lock = taken(app, wanted)
    options = [f"--extra={each}" for each in shape.extras] + [f"--group={each}" for each in shape.groups]
    theirs = exported(app, ["--no-default-groups", *options])
    assert theirs == {"dagster": DAGSTER, "dagster-cloud": DAGSTER, **shape.found}
    assert without_lock == theirs
    assert taken(app, wanted) == theirs
