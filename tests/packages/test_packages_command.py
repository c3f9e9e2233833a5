"""The command line of `builder.packages`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder.packages.wheelhouse import Wheelhouse, read_wheelhouse, write_wheelhouse
from builder.resolution import uv
from tests.support.commands import Ran, run_command, write_tree
from tests.support.monorepo import PUBLISHED, make_monorepo
from tests.support.programs import REPOSITORY

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def _run(*arguments: str | Path, **variables: str) -> Ran:
    return run_command("packages", *arguments, directory=REPOSITORY, **variables)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that no test changes."""
    return make_monorepo(tmp_path_factory.mktemp("command") / "repository", "pyproject").path


def test_a_table_of_all_packages_and_what_is_left_out(root: Path) -> None:
    ran = _run("discover", root).succeeded()

    lines = ran.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["package", *PUBLISHED]
    webserver = next(line for line in lines if line.startswith("dagster-webserver ")).split()
    assert webserver[1:] == [
        *("1!0+dev", "core", "python_modules/dagster-webserver", "hatchling.build", "yes", "dagster,"),
        "dagster-graphql",
    ]
    assert "families are known by: name (11); with the tags of releases" in ran.stderr
    assert "not for publishing: automation, its version, 0.0.1" in ran.stderr
    assert "left out: examples/quickstart, in a directory `examples`" in ran.stderr


def test_json_and_matrix(root: Path) -> None:
    (package,) = json.loads(_run("discover", root, "--select", "dagster-webserver", "--json").stdout)["packages"]
    assert package == {
        "name": "dagster-webserver",
        "path": "python_modules/dagster-webserver",
        "backend": "hatchling.build",
        "version": "1!0+dev",
        "family": "core",
        "family_source": "name",
        "native": False,
        "requires": ["dagster", "dagster-graphql"],
        "extra_requires": [],
        "build_requires": [],
        "webapp": {"path": "dagster_webserver/webapp/build", "built": True},
        "unpublished": None,
    }
    words = ("discover", root, "--select", "dagster-celery,dagster-test", "--with-dependencies", "--matrix")
    matrix = _run(*words).succeeded().stdout
    assert matrix.count("\n") == 1
    found = [entry["package"] for entry in json.loads(matrix)["include"]]
    assert found == ["dagster", "dagster-celery", "dagster-pipes", "dagster-shared", "dagster-test"]


def test_nothing_changed_is_an_empty_matrix_that_is_told_of(root: Path) -> None:
    ran = _run("discover", root, "--changed-since", "HEAD", "--matrix").succeeded()

    assert ran.stdout == '{"include": []}\n'
    assert "No package has changed since HEAD: there is nothing to do" in ran.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["discover", "--select", "dagster-webservr"], "perhaps dagster-webserver"),
        (["discover", "--select", ""], "no package is selected"),
        (["discover", "--json", "--matrix"], "contradict each other"),
        (["discover", "--changed-since", "nowhere"], "git does not know `nowhere`"),
        (["version", "--scheme", "manual"], "belong together"),
        (["version", "--scheme", "dev", "--version", "1.2.3"], "belong together"),
        (["version", "--version", "1.2.3-$(x)"], "is not a version"),
        (["version", "--version", ""], "`` is not a version"),
        (["version", "--build", "-1"], "Invalid value for '--build'"),
    ],
)
def test_wrong_usage_is_told(root: Path, arguments: list[str], said: str) -> None:
    ran = _run(arguments[0], root, *arguments[1:])

    assert ran.code == 2, ran
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_check_of_a_version_shows_a_diff_and_changes_nothing(root: Path, tmp_path: Path) -> None:
    ran = _run("version", root, "--build", "42", "--check").succeeded()

    assert '+    "dagster-pipes==1.13.30a0.dev42+g' in ran.stdout
    (tmp_path / "diff").write_text(ran.stdout)
    git = ["git", "-C", str(root)]
    subprocess.run([*git, "apply", "--check", str(tmp_path / "diff")], check=True)
    subprocess.run([*git, "diff", "--quiet"], check=True)


@pytest.mark.parametrize(
    "options, version, warned",
    [
        ([], "1.13.30a0.dev0+g", ""),
        (["--scheme", "dev", "--build", "7"], "1.0.0.dev7+", "sorts below every real release"),
        (["--scheme", "calver", "--build", "3"], "20", "sorts above every real release"),
        (["--version", "1.14.0"], "1.14.0", ""),
    ],
)
def test_schemes(tmp_path: Path, options: list[str], version: str, warned: str) -> None:
    repository = make_monorepo(tmp_path / "repository", "setup.py").path

    ran = _run("version", repository, *options).succeeded()

    assert f'__version__ = "{version}' in (repository / "python_modules/dagster/dagster/version.py").read_text()
    assert (warned in ran.stderr) if warned else ("warning" not in ran.stderr)
    assert "dagster-celery" in ran.stdout


def test_without_a_commit_only_a_manual_version_can_be_given(tmp_path: Path) -> None:
    project = '[project]\nname = "dagster"\nversion = "1!0+dev"\n[build-system]\nrequires = ["hatchling"]\n'
    write_tree(tmp_path, {"dagster/pyproject.toml": project})

    assert "has no commit of git" in _run("version", tmp_path).failed()
    _run("version", tmp_path, "--version", "1.2.3").succeeded()
    assert 'version = "1.2.3"' in (tmp_path / "dagster/pyproject.toml").read_text()


@pytest.mark.slow
@pytest.mark.network
def test_what_is_said_of_packages_works_as_it_is_typed(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject").path
    house = repository / "wheelhouse"
    uv.run(["venv", "--quiet", "--python", sys.executable, repository / ".venv"])

    said = _type(REPOSITORY / "docs" / "packages.md", repository)

    assert list(said) == ["discover", "version", "build", "lock", "check", "merge"]
    assert (repository / ".venv" / "bin" / "dagster-webserver").is_file()
    wheelhouse = read_wheelhouse(house)
    assert wheelhouse.source_date_epoch == 1_700_000_000
    names = [package.name for package in wheelhouse.packages]
    assert names == list(PUBLISHED)
    assert len(said["build"].stdout.splitlines()) == len(names) + 1
    assert "locks/dagster-celery.txt" in said["lock"].stdout
    rows = [line.split() for line in said["check"].stdout.splitlines()[1:]]
    assert [(row[0], row[2]) for row in rows] == [(name, name.replace("-", "_")) for name in names]

    said = _type(REPOSITORY / ".github" / "workflows" / "README.md", repository)

    assert list(said) == ["discover", "check", "version", "build", "lock"]
    found = [line.split()[0] for line in said["discover"].stdout.splitlines()[1:]]
    assert found == ["dagster", "dagster-celery", "dagster-pipes", "dagster-shared"]
    # What --verbose adds.
    assert " pip install --quiet " in said["check"].stderr
    assert '+version = "1.13.30"' in said["version"].stdout
    assert [package.name for package in read_wheelhouse(house).packages] == ["dagster-pipes"]


def _type(page: Path, repository: Path) -> dict[str, Ran]:
    """Type what the blocks of a page say, but for images, in the repository, which they call ~/dagster.

    Locks are for the Python of these tests; what was built on another machine is that of this one.
    """
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    said: dict[str, Ran] = {}
    for line in (line for block in blocks for line in block.splitlines()):
        words = shlex.split(line.replace("~/dagster", str(repository)), comments=True)
        if words[0] == "uv":
            uv.run(words[1:], cwd=repository)
            continue
        command, *arguments = words[3:] if words[0] == "builder.pex" else words[1:]
        if command in {"image", "push"} or words[0] == "printf":
            continue
        if command == "merge":
            shutil.copytree(repository / arguments[0], repository / arguments[1])
        if command in {"lock", "check"}:
            arguments += ["--python-version", PYTHON]
        ran = run_command("packages", command, *arguments, directory=repository, SOURCE_DATE_EPOCH="1700000000")
        said[command] = ran.succeeded()
    return said


@pytest.mark.network
def test_a_package_that_fails_is_named_and_the_run_fails(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject", webapp=False).path

    ran = _run("build", repository, "--out", tmp_path / "house", "--select", "dagster-webserver,dagster-pipes")

    assert ran.code == 1
    assert "error: dagster-webserver: the wheel of `dagster-webserver` lacks its web application" in ran.stderr
    assert "error: 1 of 5 packages could not be built: dagster-webserver" in ran.stderr
    assert "dagster_pipes-1!0+dev-py3-none-any.whl" in ran.stdout


@pytest.mark.parametrize("command", ["lock", "check"])
def test_what_is_no_wheelhouse_is_told(tmp_path: Path, command: str) -> None:
    assert "is not a wheelhouse" in _run(command, tmp_path).failed()


def test_a_place_that_is_no_directory_is_told_before_anything_is_built(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    error = _run("build", root, "--out", tmp_path / "file", "--select", "dagster-pipes").failed(2)

    assert re.match(rf"error: `[^`]*{tmp_path.name}/file` is not a directory", error)


def test_a_wheelhouse_of_nothing_is_told(tmp_path: Path) -> None:
    write_wheelhouse(Wheelhouse(directory=tmp_path, commit=None, source_date_epoch=0, packages=()))

    error = _run("lock", tmp_path).failed(2)

    assert error.startswith("error: there is nothing to choose from in wheelhouse")
    assert "perhaps" not in error


def test_a_wrong_date_is_told(root: Path, tmp_path: Path) -> None:
    ran = _run("build", root, "--out", tmp_path / "house", SOURCE_DATE_EPOCH="yesterday")

    assert "not a number of seconds" in ran.failed(2)
