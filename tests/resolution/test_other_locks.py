"""Locks of pdm and pipenv, locks without dagster, and messages about files that are not read."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ProjectError, ResolutionError
from builder.project.requirements import RequestedExtras
from builder.resolution import uv
from builder.resolution.pinned_locks import pipfile_lines
from builder.resolution.resolve import Resolution, resolve
from builder.resolution.target import serverless_target
from builder.system import storage
from tests.support.commands import DAGSTER, write_tree
from tests.support.index import Index, serving
from tests.support.requirements import package, read, write
from tests.support.wheels import make_wheel

SERVERLESS = f'"dagster=={DAGSTER}", "dagster-cloud=={DAGSTER}"'
PINNED = {"dagster": DAGSTER, "dagster-cloud": DAGSTER}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    directory = tmp_path_factory.mktemp("shelf")
    for name in ("dagster", "dagster-cloud"):
        make_wheel(directory, {}, name=name, version=DAGSTER)
    for version in ("1.0", "2.0"):
        for name in ("tool", "extra", "devtool", "needed"):
            make_wheel(directory, {}, name=name, version=version, requires=["needed"] if name == "tool" else [])
    make_wheel(directory, {}, name="strict", version="1.0", requires=["needed>=2", "missing"])
    make_wheel(directory, {}, name="shared", version="99.0")
    with serving(directory) as index:
        yield index
        assert "shared" not in index.pages()


@pytest.fixture
def project(tmp_path: Path, shelf: Index, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> Path:
    monkeypatch.setenv("UV_DEFAULT_INDEX", shelf.url)
    assert not empty_cache.exists()
    package(tmp_path / "shared", "shared")
    return tmp_path / "project"


def resolved(project: Path, wanted: RequestedExtras | None = None) -> Resolution:
    return resolve(read(project, wanted or RequestedExtras()), serverless_target("3.11"))


def refused(project: Path, wanted: RequestedExtras | None = None) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        resolved(project, wanted)
    return caught.value


def pyproject(*dependencies: str, more: str = "") -> str:
    listed = ", ".join(f'"{each}"' for each in dependencies)
    return (
        f'[project]\nname = "app"\nversion = "1.0"\nrequires-python = ">=3.10"\ndependencies = [{listed}]\n{more}'
    )


def digest(shelf: Index, name: str, version: str) -> str:
    return storage.sha256_of(shelf.directory / f"{name.replace('-', '_')}-{version}-py3-none-any.whl")


def pdm_lock(shelf: Index, *entries: tuple[str, str, str], strategy: str = '"inherit_metadata"') -> str:
    text = f'[metadata]\ngroups = ["default", "fast", "dev"]\nstrategy = [{strategy}]\nlock_version = "4.5.0"\n'
    text += '[[package]]\nname = "shared"\nversion = "1.0"\npath = "../shared"\ngroups = ["default"]\n'
    for name, version, group in entries:
        wheel = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        text += f'[[package]]\nname = "{name}"\nversion = "{version}"\ngroups = ["{group}"]\n'
        text += "marker = \"python_version >= '3.10'\"\n"
        text += f'files = [{{ file = "{wheel}", hash = "sha256:{digest(shelf, name, version)}" }}]\n'
    return text


PDM = pyproject(
    *("dagster", "dagster-cloud", "tool", "shared @ file:///${PROJECT_ROOT}/../shared"),
    more='[project.optional-dependencies]\nfast = ["extra"]\n[dependency-groups]\ndev = ["devtool"]\n'
    "[tool.pdm]\ndistribution = false\n",
)


@pytest.fixture
def locked_by_pdm(project: Path, shelf: Index) -> Path:
    serverless = [(name, DAGSTER, "default") for name in PINNED]
    optional = [("extra", "1.0", "fast"), ("devtool", "1.0", "dev")]
    lock = pdm_lock(shelf, *serverless, ("tool", "1.0", "default"), ("needed", "1.0", "default"), *optional)
    write_tree(project, {"pyproject.toml": PDM, "pdm.lock": lock})
    return project


def test_pdm_lock_is_obeyed(locked_by_pdm: Path) -> None:
    requirements = read(locked_by_pdm)
    assert requirements.lock == locked_by_pdm / "pdm.lock"
    assert requirements.local_packages == (locked_by_pdm.parent / "shared",)
    assert resolved(locked_by_pdm).lock.versions == {**PINNED, "tool": "1.0", "needed": "1.0"}
    more = resolved(locked_by_pdm, RequestedExtras(("fast",), ("dev",))).lock.versions
    assert more == {**PINNED, "tool": "1.0", "needed": "1.0", "extra": "1.0", "devtool": "1.0"}


def test_what_pdm_overrides_and_leaves_out_is_overridden_and_left_out(locked_by_pdm: Path, shelf: Index) -> None:
    told = '[tool.pdm.resolution]\nexcludes = ["Missing"]\n[tool.pdm.resolution.overrides]\nNeeded = "1.0"\n'
    names = {"dagster": DAGSTER, "dagster-cloud": DAGSTER, "tool": "1.0", "strict": "1.0", "needed": "1.0"}
    lock = pdm_lock(shelf, *((name, version, "default") for name, version in names.items()))
    write_tree(
        locked_by_pdm, {"pyproject.toml": PDM.replace('"tool"', '"tool", "strict"') + told, "pdm.lock": lock}
    )
    assert resolved(locked_by_pdm).lock.versions == names
    write(locked_by_pdm / "pyproject.toml", PDM.replace('"tool"', '"tool", "strict"'))
    assert refused(locked_by_pdm).what == "the requirements contradict each other"


def test_the_hashes_of_pdm_lock_are_checked(locked_by_pdm: Path, shelf: Index) -> None:
    lock = locked_by_pdm / "pdm.lock"
    lock.write_text(lock.read_text().replace(digest(shelf, "tool", "1.0"), "0" * 64))
    assert "no file of `tool==1.0` has a hash" in refused(locked_by_pdm).what


@pytest.mark.parametrize(
    "old, new, why",
    [
        ('"tool"', '"tool>=2"', "it has tool 1.0, and "),
        ('"tool"', '"tool", "other"', "it lacks `other`, which "),
    ],
)
def test_a_pdm_lock_that_does_not_fit_is_refused(locked_by_pdm: Path, old: str, new: str, why: str) -> None:
    manifest = locked_by_pdm / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace(old, new))
    error = refused(locked_by_pdm)
    assert "pdm.lock does not fit pyproject.toml any more" in error.what
    assert why in error.what
    assert error.remedy == "Run `pdm lock` and commit pdm.lock"


def test_a_pdm_lock_that_does_not_know_groups_is_refused(locked_by_pdm: Path, shelf: Index) -> None:
    write(locked_by_pdm / "pdm.lock", pdm_lock(shelf, strategy='"cross_platform"'))
    assert "pdm lock --strategy inherit_metadata" in str(refused(locked_by_pdm).remedy)


def test_a_pdm_project_has_its_own_indexes(project: Path) -> None:
    sources = '[[tool.pdm.source]]\nname = "ours"\nurl = "https://host.invalid/simple"\n'
    write(project / "pyproject.toml", pyproject("dagster", more=sources))
    assert read(project).options == ("--extra-index-url https://host.invalid/simple",)
    write(project / "pyproject.toml", pyproject("dagster", more=sources.replace("ours", "pypi")))
    assert read(project).options == ("--index-url https://host.invalid/simple",)
    setuptools = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    write(project / "pyproject.toml", pyproject("dagster", more=sources + setuptools))
    assert read(project).options == ()


PIPFILE = """[[source]]
name = "pypi"
url = "https://host.invalid/simple"
verify_ssl = true
[packages]
dagster = "*"
dagster-cloud = "*"
tool = "*"
shared = {path = "../shared", editable = true}
[dev-packages]
devtool = "*"
"""


def pipfile_lock(shelf: Index) -> str:
    """The lock that pipenv 2026.10 writes for PIPFILE, including its hash."""
    pins = {**PINNED, "tool": "1.0", "needed": "1.0"}
    default: dict[str, object] = {
        name: {"hashes": [f"sha256:{digest(shelf, name, version)}"], "version": f"=={version}", "index": "pypi"}
        for name, version in pins.items()
    }
    default["shared"] = {"editable": True, "path": "../shared"}
    sources = [{"name": "pypi", "url": "https://host.invalid/simple", "verify_ssl": True}]
    meta = {"hash": {"sha256": PIPFILE_HASH}, "pipfile-spec": 6, "requires": {}, "sources": sources}
    return json.dumps({"_meta": meta, "default": default, "develop": {"devtool": {"version": "==1.0"}}})


def _pipfile_hash() -> str:
    sources = [{"name": "pypi", "url": "https://host.invalid/simple", "verify_ssl": True}]
    packages = {
        "dagster": "*",
        "dagster-cloud": "*",
        "tool": "*",
        "shared": {"path": "../shared", "editable": True},
    }
    content = {"_meta": {"sources": sources, "requires": {}}, "default": packages, "develop": {"devtool": "*"}}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


PIPFILE_HASH = _pipfile_hash()


def test_pipfile_lock_is_obeyed(project: Path, shelf: Index) -> None:
    write_tree(project, {"Pipfile": PIPFILE, "Pipfile.lock": pipfile_lock(shelf)})
    assert read(project).local_packages == (project.parent / "shared",)
    assert resolved(project).lock.versions == {**PINNED, "tool": "1.0", "needed": "1.0"}
    write(project / "Pipfile", PIPFILE.replace('tool = "*"', 'tool = ">=2"'))
    error = refused(project)
    assert "Pipfile.lock does not fit Pipfile any more" in error.what
    assert error.remedy == "Run `pipenv lock` and commit Pipfile.lock"


def test_categories_of_a_pipfile_lock_are_groups(project: Path, shelf: Index) -> None:
    document = json.loads(pipfile_lock(shelf))
    document["orch"] = {"needed": document["default"].pop("needed"), "shared": document["default"].pop("shared")}
    write_tree(project, {"Pipfile": PIPFILE, "Pipfile.lock": json.dumps(document)})
    assert read(project).local_packages == ()
    asked = read(project, RequestedExtras(groups=("orch",)))
    assert asked.local_packages == (project.parent / "shared",)
    lines = pipfile_lines(project / "Pipfile.lock", ("orch", "dev-packages"))
    assert [line.text for line in lines if "dagster" not in line.text] == [
        "tool==1.0",
        "needed==1.0",
        "devtool==1.0",
    ]
    with pytest.raises(ProjectError, match="no category `x`") as caught:
        read(project, RequestedExtras(groups=("x",)))
    assert caught.value.remedy == "Choose from `dev-packages`, `orch`"


def test_pipfile_lock_gives_way_to_other_declarations(project: Path, shelf: Index) -> None:
    write_tree(project, {"Pipfile": PIPFILE, "Pipfile.lock": pipfile_lock(shelf)})
    write(project / "requirements.txt", "dagster\ndagster-cloud\ntool\n")
    requirements = read(project)
    assert requirements.lock is None
    assert resolved(project).lock.versions["tool"] == "2.0"
    assert [notice.text for notice in requirements.notices] == [
        "something else says what is required; `Pipfile.lock` beside it is not read: remove one"
    ]


@pytest.mark.parametrize("lock", ["pdm.lock", "Pipfile.lock", "poetry.lock"])
def test_a_lock_that_cannot_be_read_says_so(project: Path, lock: str) -> None:
    files = {"pdm.lock": PDM, "poetry.lock": PDM.replace("[tool.pdm]\ndistribution = false", "")}
    write_tree(project, {lock: "<<<<<<< HEAD\n", **({"pyproject.toml": files[lock]} if lock in files else {})})
    if lock == "poetry.lock":
        write_tree(project, {"requirements.txt": "dagster\n"})
        with (project / "pyproject.toml").open("a") as manifest:
            manifest.write(
                '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n'
            )
    with pytest.raises((ProjectError, ResolutionError), match=f"{lock} cannot be read"):
        resolved(project)


def uv_lock(project: Path) -> None:
    subprocess.run([uv.executable(), "lock", "--quiet"], check=True, cwd=project)


def test_a_lock_without_dagster_limits_what_requirements_txt_asks_for(project: Path) -> None:
    write(project / "pyproject.toml", pyproject("tool<2"))
    uv_lock(project)
    write(project / "pyproject.toml", pyproject("tool"))
    write(project / "requirements.txt", "dagster\ndagster-cloud\nextra\n")
    requirements = read(project)
    assert "`uv.lock` lacks what Dagster Cloud needs, which requirements.txt has" in requirements.notices[-1].text
    versions = resolved(project).lock.versions
    assert versions == {**PINNED, "tool": "1.0", "needed": "2.0", "extra": "2.0"}


@pytest.mark.parametrize(
    "more, option",
    [
        (f"[dependency-groups]\norch = [{SERVERLESS}]\n", "group"),
        (f"[project.optional-dependencies]\norch = [{SERVERLESS}]\n", "extra"),
    ],
)
@pytest.mark.parametrize("lock", ["uv.lock", None])
def test_an_extra_or_group_that_has_dagster_is_named(
    project: Path, more: str, option: str, lock: str | None
) -> None:
    write(project / "pyproject.toml", pyproject("tool", more=more))
    if lock:
        uv_lock(project)
    error = refused(project)
    assert f"only in the {option} `orch`" in error.what
    assert f'give `--{option} orch`, or write {option}s = ["orch"] under [tool.builder]' in str(error.remedy)
    assert str(error.where).endswith("pyproject.toml:7")
    wanted = RequestedExtras(("orch",)) if option == "extra" else RequestedExtras((), ("orch",))
    assert resolved(project, wanted).lock.versions["dagster-cloud"] == DAGSTER


POETRY = '[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n[tool.poetry]\n'
POETRY += 'name = "app"\nversion = "1"\ndescription = ""\nauthors = []\n'
POETRY += '[tool.poetry.dependencies]\npython = ">=3.10"\n'
SETUP_PY = "setup(install_requires=[\n'dagster==1.9',\n'dagster-cloud==1.9'])\n"
SETUP_CFG = "[metadata]\nname = a\n[options]\ninstall_requires =\n  tool\n"
PYLOCK = 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n'


@pytest.mark.parametrize(
    "files, where, remedy",
    [
        ({"pyproject.toml": pyproject("tool")}, "pyproject.toml", '"dagster", "dagster-cloud" in `dependencies`'),
        ({"pyproject.toml": POETRY}, "pyproject.toml", '`dagster-cloud = "*"` under `[tool.poetry'),
        (
            {"pyproject.toml": POETRY, "setup.py": SETUP_PY},
            "setup.py:2",
            "Run `poetry add dagster dagster-cloud`",
        ),
        ({"setup.cfg": SETUP_CFG}, "setup.cfg", "a line `dagster`"),
        ({"requirements.txt": "tool\n"}, "requirements.txt", "a line `dagster` and a line `dagster-cloud`"),
        ({"Pipfile": PIPFILE}, "Pipfile", "Run `pipenv lock`"),
        ({"environment.yml": "dependencies: [dagster]\n"}, "environment.yml", "pip list --format=freeze"),
        ({"pixi.toml": '[dependencies]\ndagster = "*"\n'}, "pixi.toml", "pip list --format=freeze"),
        ({"requirements.in": "tool\n"}, "requirements.in", "Run `pip-compile requirements.in`"),
        ({"conda-lock.yml": "package: []\n"}, "conda-lock.yml", "pip list --format=freeze"),
        ({"pylock.toml": PYLOCK}, "pylock.toml", "make it again"),
    ],
)  # fmt: skip
def test_what_to_write_is_said_in_the_dialect_of_the_project(
    project: Path, files: dict[str, str], where: str, remedy: str
) -> None:
    write_tree(project, files)
    error = refused(project)
    assert str(error.where) == str(project / where)
    assert remedy in str(error.remedy)


def test_uv_lock_is_read_without_a_python_that_the_project_allows(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(project / "pyproject.toml", pyproject("dagster", "dagster-cloud"))
    uv_lock(project)
    for name in ("pyproject.toml", "uv.lock"):
        text = (project / name).read_text().replace('">=3.10"', '">=3.10,!=3.11.*"')
        (project / name).write_text(text)
    monkeypatch.setenv("UV_PYTHON", "3.19")
    monkeypatch.setenv("PATH", str(tmp_path))
    requirements = read(project)
    resolution = resolve(requirements, serverless_target("3.12"))
    assert resolution.lock.versions == PINNED
    assert [notice.text.startswith("not compared with pyproject.toml") for notice in resolution.notices] == [True]
