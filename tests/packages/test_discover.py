"""Discovering the packages of a repository, and selecting some of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import PackagesError, UsageError
from builder.packages import selection
from builder.packages.discover import Package, discover
from tests.support.commands import write_tree
from tests.support.monorepo import CORE, ERAS, LIBRARIES, PUBLISHED, WEBAPP, Era, directory_of, make_monorepo

_HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Era:
    found: Era = request.param
    return found


def _project(name: str, version: str = "1.0", more: str = "") -> str:
    return f'[project]\nname = "{name}"\nversion = "{version}"\n{more}\n{_HATCHLING}'


def _names(packages: tuple[Package, ...]) -> list[str]:
    return [package.name for package in packages]


def test_all_packages_for_publishing_are_found(tmp_path: Path, era: Era) -> None:
    make_monorepo(tmp_path / "repository", era)

    repository = discover(tmp_path / "repository")

    assert repository.names == sorted([*PUBLISHED, "automation", "dagster-test"])
    assert {package.version for package in repository.packages} == {"1!0+dev", "0.0.1"}
    assert _names(selection.select(repository, ["all"])) == list(PUBLISHED)
    assert {package.name for package in repository.packages if package.family == "core"} == {*CORE, "dagster-test"}
    assert {package.name for package in repository.packages if package.family == "libraries"} == {*LIBRARIES}
    backend = "hatchling.build" if era == "pyproject" else "setuptools.build_meta:__legacy__"
    assert {package.declared.backend for package in repository.packages} == {backend}


def test_the_last_release_in_the_clone_tells_the_families(tmp_path: Path, era: Era) -> None:
    made = make_monorepo(tmp_path / "repository", era)
    placeholder, libraries = "1!0+dev", {"dagit", "dagster-celery", "dagster-dbt"}
    made.git("checkout", "-q", "-b", "release-1.13.29")
    # The names would tell something else of two. One is new since then.
    for name in {*PUBLISHED, "dagster-test"} - {"dagster-shared"}:
        for path in (made.path / directory_of(name)).rglob("*"):
            if path.name in {"pyproject.toml", "setup.py", "version.py"}:
                version = "0.29.29" if name in libraries else "1.13.29"
                path.write_text(path.read_text().replace(placeholder, version))
    made.git("commit", "-q", "-a", "-m", "1.13.29")
    made.git("tag", "1.13.29")
    made.git("checkout", "-q", "main")
    # A fork's own tag names a version that the files of its commit do not have.
    made.git("tag", "release-1.13.30")

    found = {package.name: package for package in discover(made.path).packages}

    assert {name for name, package in found.items() if package.family == "libraries"} == libraries
    sources = {name: package.family_source for name, package in found.items()}
    assert (sources.pop("automation"), sources.pop("dagster-shared")) == ("version", "name")
    assert set(sources.values()) == {"tag 1.13.29"}


def test_what_is_no_package_for_publishing_is_left_out_with_a_reason(tmp_path: Path, era: Era) -> None:
    make_monorepo(tmp_path / "repository", era)

    repository = discover(tmp_path / "repository")

    reasons = {package.name: package.unpublished for package in repository.packages if package.unpublished}
    assert reasons == {
        "automation": "its version, 0.0.1, is not one of the repository",
        "dagster-test": "by its name it is for tests",
    }
    left_out = {each.path: each.reason for each in repository.left_out}
    kitchen_sink = "python_modules/libraries/dagster-airlift/kitchen-sink"
    assert left_out[kitchen_sink] == "inside the package `python_modules/libraries/dagster-airlift`"
    assert left_out["python_modules/dagster/dagster/_generate/templates/PROJECT"].startswith("inside the package")
    assert left_out["python_modules/dagster/dagster_tests/projects/valid"].startswith("inside the package")
    assert left_out["examples/quickstart"] == "in a directory `examples`"
    assert left_out["scripts/tool"] == "in a directory `scripts`"


def test_what_packages_need_of_each_other(tmp_path: Path, era: Era) -> None:
    make_monorepo(tmp_path / "repository", era)

    repository = discover(tmp_path / "repository")

    assert repository.package("dagster").requires == ("dagster-pipes", "dagster-shared")
    assert repository.package("dagit").siblings == ("dagster-webserver",)
    assert repository.package("dagster-cloud-cli").requires == ("dagster-shared",)
    airlift = repository.package("dagster-airlift")
    assert airlift.requires == ()
    assert airlift.extra_requires == ("dagster", "dagster-celery", "dagster-dbt", "dagster-webserver")


@pytest.mark.parametrize("built", [True, False])
def test_the_web_application_is_known_and_whether_it_is_built(tmp_path: Path, era: Era, *, built: bool) -> None:
    make_monorepo(tmp_path / "repository", era, webapp=built)

    webapps = {each.name: each.webapp for each in discover(tmp_path / "repository").packages if each.webapp}

    assert list(webapps) == ["dagster-webserver"]
    (webapp,) = webapps.values()
    assert webapp is not None
    assert (webapp.built, WEBAPP.endswith(webapp.path)) == (built, True)


@pytest.mark.parametrize(
    "versions, families",
    [
        # A release commit, in which some packages are a patch version ahead.
        (("1.13.29", "1.13.27", "0.29.27", "0.27.12"), ("core", "core", "libraries", None)),
        # All packages of both families have one version, so the names decide.
        (("2026.11.22.5",) * 4, ("core", "libraries", "libraries", "libraries")),
        (("1.0.0.dev7+abc1234",) * 4, ("core", "libraries", "libraries", "libraries")),
    ],
)
def test_families(tmp_path: Path, versions: tuple[str, ...], families: tuple[str | None, ...]) -> None:
    names = ("dagster", "new-tool", "dagster-x", "dagster-y")
    write_tree(
        tmp_path, {f"{name}/pyproject.toml": _project(name, v) for name, v in zip(names, versions, strict=True)}
    )

    repository = discover(tmp_path)

    assert tuple(repository.package(name).family for name in names) == families


def test_other_backends_and_dynamic_versions(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "hatch/pyproject.toml": '[project]\nname = "hatch"\ndynamic = ["version"]\n[tool.hatch.version]\n'
            f'path = "src/hatch/about.py"\n{_HATCHLING}',
            "hatch/src/hatch/about.py": '__version__ = "3.1"\n',
            "attr/pyproject.toml": '[project]\nname = "attr"\ndynamic = ["version"]\n[build-system]\n'
            'requires = []\nbuild-backend = "setuptools.build_meta"\n'
            '[tool.setuptools.dynamic]\nversion = {attr = "a.v.__version__"}\n',
            "attr/a/v.py": '__version__: str = "3.2"\n',
            "flit/pyproject.toml": '[project]\nname = "flit.it"\nversion = "3.3"\n[build-system]\n'
            'requires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n',
            "private/pyproject.toml": _project("private", more='classifiers = ["Private :: Do Not Upload"]'),
            "only-tools/pyproject.toml": "[tool.ruff]\n",
        },
    )

    repository = discover(tmp_path)

    assert [(each.name, each.version) for each in repository.packages] == [
        ("attr", "3.2"),
        ("flit-it", "3.3"),
        ("hatch", "3.1"),
        ("private", "1.0"),
    ]
    assert _names(selection.select(repository, ["all"])) == ["attr", "flit-it", "hatch"]
    assert not any(each.declared.native for each in repository.packages)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[project]\nname = "it"\nversion = "1"\n[build-system]\nrequires = ["maturin>=1.8"]\n'},
        {"pyproject.toml": _project("it", more='[tool.setuptools]\next-modules = [{name = "it.x"}]')},
        {"setup.py": 'from setuptools import setup\nsetup(name="it", version="1", rust_extensions=[object()])\n'},
        {"pyproject.toml": _project("it"), "setup.py": "import setuptools\nsetuptools.setup(ext_modules=[1])\n"},
    ],
    ids=["maturin", "setuptools-toml", "setup.py", "setup.py-beside"],
)
def test_native_code_is_known_before_anything_is_built(tmp_path: Path, files: dict[str, str]) -> None:
    write_tree(tmp_path / "it", files)

    assert discover(tmp_path).package("it").declared.native


@pytest.mark.parametrize(
    "files, reason",
    [
        (
            {"pyproject.toml": '[tool.poetry]\nname = "it"\n[build-system]\nrequires = ["poetry-core"]\n'},
            "pyproject.toml has `[tool.poetry]` and no `[project]`",
        ),
        ({"pyproject.toml": _HATCHLING, "setup.cfg": "[metadata]\n"}, "pyproject.toml has no `[project]`"),
        (
            {"pyproject.toml": f'[project]\nversion = "1"\n{_HATCHLING}'},
            "`[project]` of pyproject.toml has no name",
        ),
        (
            {"pyproject.toml": '[project]\nname = "it"\nversion = "1"\n'},
            "pyproject.toml has no `[build-system]`, so nothing is to be built",
        ),
        (
            {"setup.py": "import setuptools\nsetuptools.setup()\n"},
            "setup.py does not write out the package's name",
        ),
    ],
)
def test_a_project_that_cannot_be_read_is_left_out_with_a_reason(
    tmp_path: Path, files: dict[str, str], reason: str
) -> None:
    write_tree(tmp_path, {"one/pyproject.toml": _project("one")})
    write_tree(tmp_path / "it", files)

    repository = discover(tmp_path)

    assert repository.names == ["one"]
    assert [(each.path, each.reason) for each in repository.left_out] == [("it", reason)]


def test_all_of_nothing_for_publishing_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"one/pyproject.toml": _project("one-tests")})

    with pytest.raises(UsageError, match="there is nothing to choose from in repository"):
        selection.select(discover(tmp_path), ["all"])


@pytest.mark.network
def test_a_setup_py_that_computes_its_requirements_is_built_to_know_them(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "one/setup.py": 'from setuptools import setup\nsetup(name="one", install_requires=open("needs.txt")'
            '.read().split(), version="1.0", extras_require=dict(more=["three"]))\n',
            "one/needs.txt": "two==1.0\n",
            "two/pyproject.toml": _project("two"),
            "three/pyproject.toml": _project("three"),
        },
    )

    one = discover(tmp_path).package("one")

    assert (one.requires, one.extra_requires) == (("two",), ("three",))


def test_two_packages_of_one_name_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/pyproject.toml": _project("dagster_x"), "b/pyproject.toml": _project("dagster-x")})

    with pytest.raises(PackagesError, match="two packages are called `dagster-x`: `a` and `b`"):
        discover(tmp_path)


@pytest.mark.parametrize("files", [{"README.md": ""}, {"pyproject.toml": "[tool.ruff]\n"}])
def test_a_repository_without_packages_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    write_tree(tmp_path, files)

    with pytest.raises(PackagesError, match="there is no package"):
        discover(tmp_path)


def test_a_setup_py_that_is_no_python_is_told_with_its_line(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/setup.py": "from setuptools import setup\nsetup(name=\n"})

    with pytest.raises(PackagesError) as caught:
        discover(tmp_path)
    assert str(caught.value.where).endswith("a/setup.py:2")


def test_what_git_ignores_is_no_package(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject")
    write_tree(repository.path, {"build/dagster/pyproject.toml": _project("copy")})
    write_tree(repository.path, {"new/pyproject.toml": _project("dagster-new", "1!0+dev")})

    assert "copy" not in (names := discover(repository.path).names)
    assert "dagster-new" in names


def test_names_globs_and_lists_select(tmp_path: Path) -> None:
    make_monorepo(tmp_path / "repository", "pyproject")
    repository = discover(tmp_path / "repository")

    def selected(*selectors: str) -> list[str]:
        return _names(selection.select(repository, selectors))

    assert selected("Dagster_Shared,dagit", "dagster-dbt") == ["dagit", "dagster-dbt", "dagster-shared"]
    assert selected("dagster-[cg]*") == ["dagster-celery", "dagster-cloud-cli", "dagster-graphql"]
    # Selected by exact name only: globs match published packages.
    assert selected("dagster-test") == ["dagster-test"]
    assert "dagster-test" not in selected("dagster-*")
    needed = selection.with_siblings(repository, selection.select(repository, ["dagit"]))
    assert _names(needed) == [
        *("dagit", "dagster", "dagster-graphql", "dagster-pipes", "dagster-shared", "dagster-webserver")
    ]


def test_what_is_left_out_is_not_selected(tmp_path: Path) -> None:
    make_monorepo(tmp_path / "repository", "pyproject")
    repository = discover(tmp_path / "repository")

    def selected(*selectors: str) -> list[str]:
        return _names(selection.select(repository, selectors))

    assert selected("all,!dagster-dbt") == [name for name in PUBLISHED if name != "dagster-dbt"]
    assert selected("! Dagster_*", "all") == ["dagit", "dagster"]
    assert selected("dagster-test,automation,dagit,!*-test") == ["automation", "dagit"]
    with pytest.raises(UsageError, match="leaves nothing of repository"):
        selected("dagit,!dagit")
    with pytest.raises(UsageError, match="no package is selected") as caught:
        selected("!dagit")
    assert caught.value.remedy == "Write --select 'all,!dagit'"
    # A wheelhouse need not have what is left out.
    assert selection.select_names(["all,!b"], ["a"], ["a"], "wheelhouse", partial=True) == {"a"}


@pytest.mark.parametrize(
    "selectors",
    [["dagster-webservr"], ["dagster,dagster-pips"], ["dagster-z*", "dagit"], ["all,!dagster-webservr"]],
)
def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path, selectors: list[str]) -> None:
    make_monorepo(tmp_path / "repository", "pyproject")
    repository = discover(tmp_path / "repository")

    with pytest.raises(UsageError, match="there is no such package") as caught:
        selection.select(repository, selectors)
    nearest = {"webservr": "dagster-webserver", "pips": "dagster-pipes"}
    assert nearest.get(selectors[0].rpartition("-")[2], "") in (caught.value.detail or "")
    assert "`dagster`" not in (caught.value.detail or "")


@pytest.mark.parametrize("selectors", [[], [""], [" , "]])
def test_a_selection_of_nothing_is_refused(tmp_path: Path, selectors: list[str]) -> None:
    make_monorepo(tmp_path / "repository", "pyproject")

    with pytest.raises(UsageError, match="no package is selected"):
        selection.select(discover(tmp_path / "repository"), selectors)


@pytest.mark.parametrize(
    "file, expected",
    [
        ("python_modules/libraries/dagster-celery/dagster_celery/new.py", ["dagster-airlift", "dagster-celery"]),
        ("js_modules/app-oss/page.tsx", ["dagit", "dagster-airlift", "dagster-webserver"]),
        ("docs/conf.py", []),
        ("python_modules/libraries/dagster-airlift/kitchen-sink/x.py", ["dagster-airlift"]),
    ],
)
def test_what_has_changed_and_what_needs_that(tmp_path: Path, file: str, expected: list[str]) -> None:
    git = make_monorepo(tmp_path / "repository", "pyproject")
    base = git.commit()
    git.git("checkout", "-q", "-b", "work")
    write_tree(git.path, {file: "changed\n"})
    repository = discover(git.path)

    # Before and after the commit, even if the base branch has new commits.
    assert _names(selection.changed_since(repository, base)) == expected
    git.git("add", "--all")
    git.commit()
    git.git("checkout", "-q", "main")
    write_tree(git.path, {"python_modules/libraries/dagster-dbt/dagster_dbt/main.py": ""})
    git.git("add", "--all")
    git.commit()
    git.git("checkout", "-q", "work")
    assert _names(selection.changed_since(repository, "main")) == expected


@pytest.mark.parametrize("reference", ["no-such-branch", "--output=/tmp/x", ""])
def test_a_reference_that_git_does_not_know_is_refused(tmp_path: Path, reference: str) -> None:
    git = make_monorepo(tmp_path / "repository", "pyproject")

    with pytest.raises(UsageError, match="git does not know"):
        selection.changed_since(discover(git.path), reference)


def test_changes_cannot_be_told_outside_git(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/pyproject.toml": _project("a")})

    with pytest.raises(UsageError, match="is not in a git repository"):
        selection.changed_since(discover(tmp_path), "main")


def test_packages_that_build_others_are_built_before_them(tmp_path: Path) -> None:
    needing = '[project]\nname = "{0}"\nversion = "1"\n[build-system]\nrequires = ["{1}"]\nbuild-backend = "b"\n'
    write_tree(
        tmp_path,
        {
            "a/pyproject.toml": needing.format("a", "b>=1"),
            "b/pyproject.toml": needing.format("b", "c"),
            "c/pyproject.toml": needing.format("c", "hatchling"),
            "d/pyproject.toml": needing.format("d", "hatchling"),
        },
    )
    repository = discover(tmp_path)

    stages = selection.build_order(repository.packages)

    assert [_names(stage) for stage in stages] == [["c", "d"], ["b"], ["a"]]
    write_tree(tmp_path, {"c/pyproject.toml": needing.format("c", "a")})
    with pytest.raises(PackagesError, match="need each other in order to be built: a, b, c"):
        selection.build_order(discover(tmp_path).packages)
