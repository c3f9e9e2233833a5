"""What a project asks for, read from each of the common dialects."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from builder.errors import Origin, ProjectError
from builder.project.metadata import Metadata
from builder.project.requirements import RequestedExtras, read_requirements
from tests.support.requirements import MARKERS, package, read, texts, write


def test_requirements_txt_in_pips_syntax(tmp_path: Path) -> None:
    write(tmp_path / "more" / "base.txt", "structlog>=24 # why\n")
    write(tmp_path / "limits.txt", "numpy<3\n")
    content = (
        "\ufeff# a comment that ends in a backslash \\\r\n"
        "dagster==1.13.27 \\\r\n    --hash=sha256:aa \\\r\n    --hash=sha256:bb\r\n"
        "-r more/base.txt\r\n-c limits.txt\r\n"
        "pandas[parquet] >= 2 ; python_version > '3.9'\r\n"
        "git+ssh://git@example.invalid/team/tool.git@v1#egg=tool\r\n"
        "--extra-index-url https://example.invalid/simple\r\n--no-binary foo\r\n"
    )
    write(tmp_path / "requirements.txt", content)

    found = read(tmp_path)

    assert texts(found) == [
        "dagster==1.13.27",
        "structlog>=24",
        "pandas[parquet] >= 2 ; python_version > '3.9'",
        "git+ssh://git@example.invalid/team/tool.git@v1#egg=tool",
    ]
    assert found.lines[0].hashes == ("sha256:aa", "sha256:bb")
    assert str(found.lines[0].origin) == f"{tmp_path / 'requirements.txt'}:2"
    assert str(found.lines[1].origin) == f"{tmp_path / 'more' / 'base.txt'}:1"
    assert [line.text for line in found.constraints] == ["numpy<3"]
    assert found.options == ("--extra-index-url https://example.invalid/simple", "--no-binary foo")


def test_environment_variables_in_requirements_txt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_USER", "me")
    write(tmp_path / "requirements.txt", "--index-url https://${INDEX_USER}@example.invalid/simple\n")
    assert read(tmp_path).options == ("--index-url https://me@example.invalid/simple",)


def test_find_links_are_relative_to_the_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    write(tmp_path / "requirements.txt", "--find-links wheels\n")
    assert read(tmp_path).options == (f"--find-links {tmp_path / 'wheels'}",)


@pytest.mark.parametrize(
    "content, what, line",
    [
        ("dagster\n--no-such-option\n", "--no-such-option", 2),
        ("dagster\n-r missing.txt\n", "missing.txt`, which does not exist", 2),
        ("dagster\n-r https://example.invalid/base.txt\n", "not a file of the project", None),
        ("dagster\npandas 2\n", "`pandas 2` is not a valid requirement", 2),
        ("dagster\n./missing\n", "does not exist", 2),
        ("dagster\n./requirements.txt\n", "neither a directory nor a wheel", 2),
    ],
)
def test_requirements_txt_that_cannot_be_read(tmp_path: Path, content: str, what: str, line: int | None) -> None:
    path = write(tmp_path / "requirements.txt", content)
    with pytest.raises(ProjectError) as caught:
        read(tmp_path)
    assert what in caught.value.what
    assert caught.value.remedy
    if line is not None:
        assert str(caught.value.where) == f"{path}:{line}"


def test_pyproject_with_static_metadata(tmp_path: Path) -> None:
    package(
        tmp_path,
        "app",
        "dagster",
        "colorama ; sys_platform == 'win32'",
        "tomli ; python_version < '3.12'",
        more='[project.optional-dependencies]\ntest = ["pytest"]\n[dependency-groups]\ndev = ["ruff"]\n',
    )
    found = read(tmp_path)
    assert texts(found) == ["dagster", "tomli"]
    assert found.local_packages == (tmp_path,)
    assert found.local_names == {"app"}
    assert str(found.lines[0].origin) == f"{tmp_path / 'pyproject.toml'}:9"


def test_a_list_of_dependencies_without_a_build_system_is_no_package(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[project]\nname = "app"\nversion = "1"\ndependencies = ["dagster"]\n')
    found = read(tmp_path)
    assert texts(found) == ["dagster"]
    assert found.local_packages == ()


def test_requirements_txt_and_metadata_are_taken_together(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster", "pandas>=2")
    write(tmp_path / "requirements.txt", "pandas<3\ndagster\n.\n")
    assert texts(read(tmp_path)) == ["dagster", "pandas>=2", "pandas<3"]


def test_invalid_requirement_in_pyproject_names_its_line(tmp_path: Path) -> None:
    package(tmp_path, "app", "requests^2.31")
    with pytest.raises(ProjectError, match=r"requests\^2\.31") as caught:
        read(tmp_path)
    assert str(caught.value.where) == f"{tmp_path / 'pyproject.toml'}:9"


def test_pyproject_that_is_not_toml_names_its_line(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[project]\nname = "app\n')
    with pytest.raises(ProjectError, match="not valid TOML") as caught:
        read(tmp_path)
    assert str(caught.value.where) == f"{tmp_path / 'pyproject.toml'}:2"


def test_requires_python_that_excludes_the_target(tmp_path: Path) -> None:
    package(tmp_path, "app", more='requires-python = ">=3.12"\n')
    with pytest.raises(ProjectError, match=r"does not allow Python 3\.11") as caught:
        read(tmp_path)
    assert str(caught.value.where) == f"{tmp_path / 'pyproject.toml'}:10"


LOCAL_REFERENCES = {
    "relative path": "./../shared\n",
    "relative path without a dot": "libs/shared\n",
    "editable": "-e ../shared\n",
    "editable with an extra": "-e ../shared[fast]\n",
    "extra and marker": "../shared[fast] ; python_version >= '3.9'\n",
    "file url": "file:../shared\n",
    "absolute file url": "{uri}\n",
    "direct reference": "shared @ {uri}\n",
    "egg fragment": "-e ../shared#egg=shared\n",
}


@pytest.mark.parametrize("line", LOCAL_REFERENCES.values(), ids=LOCAL_REFERENCES.keys())
def test_local_packages_are_followed_and_never_asked_of_an_index(tmp_path: Path, line: str) -> None:
    place = "app/libs/shared" if line.startswith("libs") else "shared"
    shared = package(
        tmp_path / place, "Shared", "pytz", more='[project.optional-dependencies]\nfast = ["orjson"]\n'
    )
    write(tmp_path / "app" / "requirements.txt", "dagster\nshared\n" + line.format(uri=shared.as_uri()))

    found = read(tmp_path / "app")

    assert found.local_packages == (shared,)
    assert found.local_names == {"shared"}
    assert texts(found) == (["dagster", "pytz", "orjson"] if "[fast]" in line else ["dagster", "pytz"])


def test_a_marker_that_does_not_hold_for_the_target_leaves_a_local_package_out(tmp_path: Path) -> None:
    write(tmp_path / "requirements.txt", "dagster\n./missing ; python_version < '3.9'\n")
    assert texts(read(tmp_path)) == ["dagster"]


def test_local_packages_of_local_packages_are_followed(tmp_path: Path) -> None:
    third = package(tmp_path / "third", "third", "six")
    second = package(tmp_path / "second", "second", f"third @ {third.as_uri()}")
    write(tmp_path / "app" / "requirements.txt", "../second\n")
    found = read(tmp_path / "app")
    assert found.local_packages == (second, third)
    assert texts(found) == ["six"]


def test_local_packages_that_need_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    package(one, "one", f"two @ {two.as_uri()}", "six")
    package(two, "two", f"one @ {one.as_uri()}")
    found = read(one)
    assert found.local_packages == (one, two)
    assert texts(found) == ["six"]


def test_a_local_wheel_is_required_by_its_path(tmp_path: Path) -> None:
    wheel = write(tmp_path / "wheels" / "tool-1.0-py3-none-any.whl", "")
    write(tmp_path / "requirements.txt", "./wheels/tool-1.0-py3-none-any.whl\n")
    assert texts(read(tmp_path)) == [f"tool @ {wheel.as_uri()}"]


def test_a_directory_without_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    path = write(tmp_path / "requirements.txt", "./scripts\n")
    with pytest.raises(ProjectError, match="but is none") as caught:
        read(tmp_path)
    assert str(caught.value.where) == f"{path}:1"


def test_uv_sources(tmp_path: Path) -> None:
    package(tmp_path / "shared", "shared", "pytz")
    sources = """
[tool.uv.sources]
shared = { path = "../shared", editable = true }
tool = { git = "https://example.invalid/tool.git", tag = "v1", subdirectory = "py" }
other = { url = "https://example.invalid/other-1.0-py3-none-any.whl" }
elsewhere = [{ path = "../missing", marker = "sys_platform == 'win32'" }]
"""
    package(tmp_path / "app", "app", "shared", "tool[x]>=1", "other", "elsewhere", more=sources)
    found = read(tmp_path / "app")
    assert found.local_packages == (tmp_path / "app", tmp_path / "shared")
    assert texts(found) == [
        "tool[x] @ git+https://example.invalid/tool.git@v1#subdirectory=py",
        "other @ https://example.invalid/other-1.0-py3-none-any.whl",
        "elsewhere",
        "pytz",
    ]


def test_a_uv_source_of_an_extra_or_group_holds_where_that_is_installed(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        package(tmp_path / name, "private")
    more = """
[project.optional-dependencies]
a = ["private"]
b = ["private"]
[dependency-groups]
c = ["private"]
[tool.uv.sources]
private = [{ path = "../a", extra = "a" }, { path = "../b", extra = "b" }, { path = "../c", group = "c" }]
"""
    conflicts = '[tool.uv]\nconflicts = [[{ extra = "a" }, { extra = "b" }, { group = "c" }]]\n'
    app = package(tmp_path / "app", "app", "private", more=more + conflicts)
    assert texts(read(app)) == ["private"]
    for name in ("a", "b"):
        assert read(app, RequestedExtras(extras=(name,))).local_packages == (app, tmp_path / name)
    assert read(app, RequestedExtras(groups=("c",))).local_packages == (app, tmp_path / "c")
    # Without conflicts uv locks one version for all of them, and a path stands above an index.
    package(tmp_path / "app", "app", "private", more=more)
    assert read(app).local_packages == (app, tmp_path / "a")


def test_a_source_of_an_unknown_kind_is_refused_rather_than_asked_of_the_index(tmp_path: Path) -> None:
    package(tmp_path, "app", "private", more='[tool.uv.sources]\nprivate = { registry = "ours" }\n')
    with pytest.raises(ProjectError, match="`private`") as caught:
        read(tmp_path)
    assert caught.value.remedy
    assert "uv.lock" in caught.value.remedy


def test_a_source_that_names_an_index_which_is_not_declared_is_refused(tmp_path: Path) -> None:
    package(tmp_path, "app", "private", more='[tool.uv.sources]\nprivate = { index = "ours" }\n')
    with pytest.raises(ProjectError, match=r"`private` names the index `ours`"):
        read(tmp_path)


def test_a_source_that_names_an_index_keeps_it_with_the_requirement(tmp_path: Path) -> None:
    index = '[[tool.uv.index]]\nname = "ours"\nurl = "https://example.invalid/simple"\nexplicit = true\n'
    package(tmp_path, "app", "private", more=f'[tool.uv.sources]\nprivate = {{ index = "ours" }}\n{index}')
    (line,) = read(tmp_path).lines
    assert line.text == "private"
    assert line.index == {"name": "ours", "url": "https://example.invalid/simple", "explicit": True}


def test_workspace_members_are_found_by_the_name_that_they_declare(tmp_path: Path) -> None:
    root = '[tool.uv.workspace]\nmembers = ["libs/*"]\nexclude = ["libs/old"]\n'
    write(tmp_path / "pyproject.toml", root)
    package(tmp_path / "libs" / "old", "acme-shared")
    member = package(tmp_path / "libs" / "another_directory", "acme-shared", "pytz")
    app = package(
        tmp_path / "libs" / "app",
        "app",
        "acme_shared",
        more="[tool.uv.sources]\nacme-shared = { workspace = true }\n",
    )
    found = read(app)
    assert found.local_packages == (app, member)
    assert texts(found) == ["pytz"]


def test_an_unknown_workspace_member_is_refused(tmp_path: Path) -> None:
    package(
        tmp_path, "app", "ghost", more="[tool.uv.sources]\nghost = { workspace = true }\n[tool.uv.workspace]\n"
    )
    with pytest.raises(ProjectError, match="`ghost`"):
        read(tmp_path)


def test_the_projects_own_lock_is_obeyed_and_nothing_else_is_read(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster")
    write(tmp_path / "requirements.txt", "this is not valid\n")
    lock = write(tmp_path / "uv.lock", "version = 1\n")
    found = read(tmp_path)
    assert found.lock == lock
    assert found.lines == ()
    assert [notice.text for notice in found.notices] == [
        "`uv.lock` is obeyed; `requirements.txt` beside it is not read; remove the one that you do not keep"
    ]


def test_a_member_obeys_the_lock_of_its_workspace(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[tool.uv.workspace]\nmembers = ["libs/*"]\n')
    lock = write(tmp_path / "uv.lock", "version = 1\n")
    assert read(package(tmp_path / "libs" / "app", "app")).lock == lock
    assert read(package(tmp_path / "other", "other")).lock is None


def test_everything_else_is_asked_of_the_build_backend(tmp_path: Path) -> None:
    write(tmp_path / "setup.py", "from setuptools import setup\nsetup(install_requires=[\n    'dagster',\n])\n")
    asked: list[Path] = []

    def backend(directory: Path) -> Metadata:
        asked.append(directory)
        requires = ("dagster", "six; extra == 'x'", "tomli ; python_version < '3.9'")
        return Metadata(name="app", requires=requires, requires_python="", manifest=directory / "setup.py")

    found = read_requirements(tmp_path, MARKERS, backend)
    assert asked == [tmp_path]
    assert texts(found) == ["dagster"]
    assert str(found.lines[0].origin) == f"{tmp_path / 'setup.py'}:3"
    assert found.local_packages == (tmp_path,)


SETUP_CFG = """
[metadata]
name = app
[options]
python_requires = >=3.9
install_requires =
    dagster
    # a comment
    tomli; python_version < "3.9"
[options.extras_require]
fast = orjson; six
"""


def test_setup_cfg_is_read_as_it_stands(tmp_path: Path) -> None:
    write(tmp_path / "setup.cfg", SETUP_CFG)
    write(tmp_path / "pyproject.toml", '[build-system]\nrequires = ["setuptools"]\n')
    assert texts(read(tmp_path)) == ["dagster"]
    found = read(tmp_path, RequestedExtras(extras=("fast",)))
    assert texts(found) == ["dagster", "orjson", "six"]
    assert str(found.lines[0].origin) == f"{tmp_path / 'setup.cfg'}:7"


def test_a_manifest_is_parsed_once_for_all_its_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    loads = tomllib.loads

    def counted(text: str) -> object:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", counted)
    dependencies = [f"package-{number}" for number in range(30)]
    package(tmp_path, "name", *dependencies)

    assert len(read(tmp_path).lines) == 30
    assert len(parsed) == 1

    # A file that changes is read again.
    package(tmp_path, "name", dependencies[0])
    assert len(read(tmp_path).lines) == 1


def test_two_local_packages_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    package(tmp_path / "old", "Shared_Lib")
    package(tmp_path / "new", "shared.lib")
    path = write(tmp_path / "requirements.txt", "dagster\n./old\n./new\n")
    with pytest.raises(ProjectError, match=r"two local packages are called `shared\.lib`") as caught:
        read(tmp_path)
    assert f"`{tmp_path / 'old'}` (required in `{path}:2`) and `{tmp_path / 'new'}`" in caught.value.what
    assert caught.value.where == Origin(path, 3)


def test_a_local_package_called_like_the_project_is_refused(tmp_path: Path) -> None:
    package(tmp_path / "libs/app", "app")
    package(tmp_path, "app", f"other @ {(tmp_path / 'libs/other').as_uri()}")
    package(tmp_path / "libs/other", "other", f"app @ {(tmp_path / 'libs/app').as_uri()}")
    with pytest.raises(ProjectError, match="two local packages are called `app`") as caught:
        read(tmp_path)
    assert caught.value.where == Origin(tmp_path / "libs/other/pyproject.toml", 9)


def test_a_list_of_dependencies_may_be_called_like_a_local_package(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[project]\nname = "app"\nversion = "1"\ndependencies = ["dagster"]\n')
    package(tmp_path / "app", "app")
    write(tmp_path / "requirements.txt", "./app\n")
    assert read(tmp_path).local_packages == (tmp_path / "app",)


def test_a_required_directory_is_a_package_without_a_build_system_too(tmp_path: Path) -> None:
    text = '[project]\nname = "shared"\nversion = "1"\ndependencies = ["pytz"]\n'
    write(tmp_path / "shared/pyproject.toml", text)
    package(tmp_path / "app", "app", "shared", more='[tool.uv.sources]\nshared = { path = "../shared" }\n')
    write(tmp_path / "app/requirements.txt", "../shared\n")
    found = read(tmp_path / "app")
    assert found.local_packages == (tmp_path / "app", tmp_path / "shared")
    assert texts(found) == ["pytz"]
    # What pip is told to install is installed, whatever uv's table says; for uv's own source it decides.
    write(tmp_path / "shared/pyproject.toml", f"{text}[tool.uv]\npackage = false\n")
    assert read(tmp_path / "app").local_packages == (tmp_path / "app", tmp_path / "shared")
    (tmp_path / "app/requirements.txt").unlink()
    assert read(tmp_path / "app").local_packages == (tmp_path / "app",)


def test_a_project_that_requires_itself_is_a_package_without_a_build_system_too(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", '[project]\nname = "app"\nversion = "1"\n')
    write(tmp_path / "requirements.txt", "-e .\n")
    assert read(tmp_path).local_packages == (tmp_path,)


def test_a_directory_with_only_a_setup_cfg_is_no_package(tmp_path: Path) -> None:
    write(tmp_path / "shared/setup.cfg", "[metadata]\nname = shared\n")
    write(tmp_path / "app/requirements.txt", "../shared\n")
    with pytest.raises(ProjectError, match="but is none"):
        read(tmp_path / "app")


def test_a_local_package_by_way_of_a_symlink_is_one_package(tmp_path: Path) -> None:
    package(tmp_path / "libs/shared", "shared", "pytz")
    (tmp_path / "linked").symlink_to("libs/shared")
    write(tmp_path / "requirements.txt", "./libs/shared\n./linked\n")
    found = read(tmp_path)
    assert found.local_packages == (tmp_path / "libs/shared",)
    assert texts(found) == ["pytz"]
