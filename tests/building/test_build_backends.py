"""Code of other people that a build runs, and what it gets to see: setup.py, build backends, secrets."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import DAGSTER, SECONDS, Workshop, have_ended, make_sdist, put_setuptools, workshop
from tests.support.index import Fault
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PASSWORD = "p4ssw0rd-of-the-index"
SECRETS = {
    "DAGSTER_CLOUD_API_TOKEN": "s3cr3t-of-dagster",
    "DAGSTER_CLOUD_ORGANIZATION": "s3cr3t-organisation",
    "GITHUB_TOKEN": "s3cr3t-of-github",
    "GITHUB_ENV": "s3cr3t-file",
    "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-aws",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "s3cr3t-url",
    "MY_DB_PASSWORD": "s3cr3t-of-the-database",
    "UV_PUBLISH_TOKEN": "s3cr3t-of-the-publisher",
}

_SETUP = """
import json, os, sys
from setuptools import setup
with open({seen!r}, "w") as stream:
    json.dump([dict(os.environ), sys.version_info[:2], os.getcwd()], stream)
setup(
    name="shop",
    version="1.0",
    packages=["shop"],
    install_requires=["dagster", "dagster-cloud"],
    entry_points={{"console_scripts": ["shop = shop:main"]}},
)
"""

_BACKEND = """
import json, os, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    {action}
    with zipfile.ZipFile(os.path.join(directory, "{name}-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("{name}.py", "built = True\\n")
        wheel.writestr("{name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("{name}-1.0.dist-info/WHEEL", kind)
        wheel.writestr("{name}-1.0.dist-info/RECORD", "{name}.py,,\\n")
    return "{name}-1.0-py3-none-any.whl"
"""


@pytest.fixture
def setup_project(place: Workshop) -> Path:
    put_setuptools(place.index.directory)
    files = {
        "requirements.txt": "",
        "setup.py": _SETUP.format(seen=str(place.root / "seen.json")),
        "shop/__init__.py": "def main(): pass\n",
    }
    return place.project(files)


def put_sdist(place: Workshop, name: str, action: str = "pass") -> None:
    """An sdist of one module whose backend does something before it builds."""
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": system, "backend.py": _BACKEND.format(action=action, name=name)}
    make_sdist(place.index.directory, files, name=name)


def needing(place: Workshop, *names: str) -> Path:
    return place.project({"requirements.txt": "\n".join(["dagster", "dagster-cloud", *names])})


def everything(directory: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in directory.rglob("*")}


def test_setup_py_is_run_by_the_targets_python_without_secrets_and_leaves_no_trace(
    place: Workshop, setup_project: Path
) -> None:
    workspace = place.workspace(
        "locations:\n  - {location_name: a, build: {directory: project}, code_source: {package_name: shop}}\n"
    )
    before = everything(setup_project)
    place.run("deploy", workspace, place.out, "--python-version", RUNNING, env=SECRETS).succeeded()
    assert everything(setup_project) == before
    # For deps alone the backend is asked for metadata only.
    cold = {"BUILDER_CACHE_DIR": str(place.root / "cold")}
    place.build(setup_project, "--python-version", RUNNING, env=cold).succeeded()
    assert everything(setup_project) == before
    environment, version, directory = json.loads((place.root / "seen.json").read_text())
    assert ".".join(map(str, version)) == RUNNING
    assert not Path(directory).is_relative_to(setup_project)
    assert not {name for name in environment if "s3cr3t" in environment[name]}
    (source,) = place.out.glob("source-*.pex")
    with zipfile.ZipFile(source) as pex:
        metadata = ".deps/shop-1.0-py3-none-any.whl/shop-1.0.dist-info"
        assert pex.read(f"{metadata}/entry_points.txt").decode().split() == [
            "[console_scripts]",
            "shop",
            "=",
            "shop:main",
        ]


@pytest.mark.parametrize("command", ["deps", "source"])
def test_a_setup_py_that_fails_is_told_in_its_own_words(
    place: Workshop, setup_project: Path, command: str
) -> None:
    (setup_project / "setup.py").write_text("raise SystemError('no weather today')\n")
    ran = place.run(command, setup_project, place.out, "--python-version", RUNNING)
    assert ran.code == 1
    # The traceback of setup.py is what its author needs, marked as another program's words.
    assert "\n  | SystemError: no weather today\n" in ran.stderr
    assert not re.search(r"(?m)^Traceback", ran.stderr)
    assert f"error: building `{setup_project.relative_to(place.root)}` failed" in ran.stderr
    assert "it ran without tokens and other secrets" in ran.stderr
    assert place.artefacts() == []


def test_a_python_on_path_that_does_not_work_is_passed_over(place: Workshop, setup_project: Path) -> None:
    shim = place.root / "shims" / f"python{RUNNING}"
    shim.parent.mkdir()
    shim.write_text('#!/bin/sh\necho "version not installed" >&2\nexit 127\n')
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}{place.environment['PATH']}"
    place.build(setup_project, "--python-version", RUNNING, env={"PATH": path}).succeeded()


@pytest.mark.parametrize("command", ["deps", "source"])
def test_setup_py_without_the_targets_python_is_an_error_that_says_what_to_install(
    place: Workshop, setup_project: Path, command: str
) -> None:
    nothing = place.root / "empty"
    nothing.mkdir()
    environment = {"PATH": str(nothing), "UV_PYTHON_INSTALL_DIR": str(nothing)}
    error = place.run(command, setup_project, place.out, "--python-version", RUNNING, env=environment).failed()
    assert f"there is no working `python{RUNNING}` on PATH" in error
    assert f"`uv python install {RUNNING}`" in error
    assert "actions/setup-python" in error


def test_a_distribution_without_a_wheel_is_built_without_secrets(place: Workshop) -> None:
    seen = place.root / "seen.json"
    put_sdist(place, "homemade", f"json.dump(dict(os.environ), open({str(seen)!r}, 'w'))")
    place.build(needing(place, "homemade"), "--python-version", RUNNING, env=SECRETS).succeeded()
    assert "s3cr3t" not in seen.read_text()
    (deps,) = place.out.glob("deps-*.pex")
    with zipfile.ZipFile(deps) as pex:
        assert pex.read(".deps/homemade-1.0-py3-none-any.whl/homemade.py") == b"built = True\n"


def test_a_distribution_is_built_once(place: Workshop) -> None:
    put_sdist(place, "homemade")
    project = needing(place, "homemade")
    place.build(project, "--python-version", RUNNING).succeeded()
    again = place.build(project, "--python-version", RUNNING, "--verbose").succeeded()
    assert "uv pip compile" in again.stderr
    assert "uv build" not in again.stderr


def test_a_local_package_is_built_again_only_when_it_has_changed(place: Workshop) -> None:
    put_setuptools(place.index.directory)
    manifest = '[project]\nname = "shared"\nversion = "1.0"\n[build-system]\nrequires = ["setuptools"]\n'
    project = place.project(
        {"requirements.txt": "./shared\n", "shared/pyproject.toml": manifest, "shared/shared.py": ""}
    )

    def builds() -> int:
        ran = place.run("source", project, place.out, "--python-version", RUNNING, "--verbose")
        return ran.succeeded().stderr.count("uv build")

    assert (builds(), builds()) == (1, 0)
    (project / "shared/shared.py").write_text("changed = True\n")
    assert (builds(), builds()) == (1, 0)


def test_distributions_that_cannot_be_built_are_all_named_with_their_own_words(place: Workshop) -> None:
    put_sdist(place, "first", "raise SystemExit('needs a compiler')")
    put_sdist(place, "second", "raise SystemExit('needs a blessing')")
    put_sdist(place, "third")
    ran = place.build(needing(place, "first", "second", "third"), "--python-version", RUNNING)
    error = ran.failed()
    assert f"there is no wheel for Python {RUNNING} on linux x86_64 of `first==1.0`, `second==1.0`" in error
    assert "needs a compiler" in error
    assert "needs a blessing" in error
    assert "third==1.0" not in error
    assert "hint: " in error
    assert place.artefacts() == []


def test_without_the_targets_python_what_would_have_to_be_built_is_named_before_anything_is_fetched(
    place: Workshop,
) -> None:
    put_sdist(place, "first")
    put_sdist(place, "second")
    nothing = place.root / "empty"
    nothing.mkdir()
    environment = {"PATH": str(nothing), "UV_PYTHON_INSTALL_DIR": str(nothing)}
    project = needing(place, "first", "second")
    # A build that needs nothing but wheels does without that Python.
    error = place.build(project, "--python-version", RUNNING, env=environment).failed()
    assert "`first==1.0`, `second==1.0`" in error
    assert f"`python{RUNNING}`" in error
    assert f"`uv python install {RUNNING}`" in error
    assert not [name for name in place.index.downloads() if name.endswith(".whl")]
    place.build(needing(place), "--python-version", RUNNING, env=environment).succeeded()


def test_a_signal_while_building_ends_the_backend_too(place: Workshop) -> None:
    (place.index.directory / "stall.txt").write_text("never all of this")
    place.index.misbehave("stall.txt", Fault.STALL)
    url = place.index.url.replace("/simple/", "/files/stall.txt")
    put_sdist(place, "homemade", f"from urllib.request import urlopen; urlopen({url!r}).read()")
    running = place.start("deps", needing(place, "homemade"), place.out, "--python-version", RUNNING)
    place.index.wait_until_stalled()
    with running.programs() as programs:
        assert len(programs) > 1
        running.send(signal.SIGTERM)
        assert "stopped by SIGTERM" in running.finish(SECONDS).failed(143)
        assert have_ended(programs)
    assert place.artefacts() == []


def without_password(place: Workshop, *texts: str) -> None:
    """The password is in none of the texts, and in nothing that was written for others to read."""
    for text in texts:
        assert PASSWORD not in text
    for path in place.out.glob("*"):
        assert PASSWORD.encode() not in path.read_bytes()
        if path.suffix == ".pex":
            with zipfile.ZipFile(path) as pex:
                assert not [name for name in pex.namelist() if PASSWORD.encode() in pex.read(name)]


@pytest.mark.parametrize("options", [[], ["--verbose"]])
def test_the_password_of_an_index_is_used_and_never_told(tmp_path: Path, options: list[str]) -> None:
    with workshop(tmp_path, password=PASSWORD) as place:
        put_sdist(place, "homemade")
        project = needing(place, "homemade")
        workspace = place.workspace(
            "locations:\n  - {location_name: a, build: {directory: project}, code_source: {module_name: answer}}\n"
        )
        ran = place.run("deploy", workspace, place.out, "--python-version", RUNNING, *options).succeeded()
        without_password(place, ran.stdout, ran.stderr)
        assert len(list(place.out.iterdir())) == 5
        (project / "requirements.txt").write_text("dagster\ndagster-cloud\nunknown-thing\n")
        ran = place.run("deploy", workspace, place.out, "--python-version", RUNNING, *options)
        assert ran.code == 1
        without_password(place, ran.stdout, ran.stderr)


@pytest.mark.parametrize("options", [[], ["--verbose"]])
def test_the_password_of_an_index_in_requirements_txt_is_used_and_never_told(
    tmp_path: Path, options: list[str]
) -> None:
    with workshop(tmp_path, password=PASSWORD) as place:
        url = place.index.full_url.replace(PASSWORD, "${INDEX_PASSWORD}")
        del place.environment["UV_DEFAULT_INDEX"]
        secret = {"INDEX_PASSWORD": PASSWORD, "BUILDER_PASS_ENV": "INDEX_PASSWORD"}
        project = place.project({"requirements.txt": f"--index-url {url}\ndagster\ndagster-cloud\n"})
        ran = place.build(project, *options, env=secret).succeeded()
        without_password(place, ran.stdout, ran.stderr)
        for line in (
            "unknown-thing",
            f"-r {place.index.full_url}more.txt",
            f"x @ {place.index.full_url}x.tar.gz",
            "a b c",
        ):
            (project / "requirements.txt").write_text(f"--index-url {url}\ndagster\ndagster-cloud\n{line}\n")
            ran = place.build(project, *options, env=secret)
            assert ran.code == 1
            without_password(place, ran.stdout, ran.stderr)


@pytest.mark.parametrize("fault", [Fault.NOT_FOUND, Fault.BROKEN, Fault.CORRUPT])
def test_the_password_of_an_index_is_not_told_when_it_fails(tmp_path: Path, fault: Fault) -> None:
    with workshop(tmp_path, password=PASSWORD) as place:
        for what in ("/simple/dagster/", "dagster-1.13.27-py3-none-any.whl"):
            place.index.misbehave(what, fault)
            ran = place.build(place.project(), "--verbose")
            assert ran.code == 1
            without_password(place, ran.stdout, ran.stderr)
            place.index.misbehave(what, fault, times=0)
        index = f"http://reader:{PASSWORD}@127.0.0.1:9/"
        ran = place.build(place.project(), "--verbose", env={"UV_DEFAULT_INDEX": index})
        assert ran.code == 1
        without_password(place, ran.stdout, ran.stderr)


def test_a_wrong_password_is_told_as_such(tmp_path: Path) -> None:
    with workshop(tmp_path, password=PASSWORD) as place:
        index = place.index.full_url.replace(PASSWORD, "wr0ng")
        error = place.build(place.project(), env={"UV_DEFAULT_INDEX": index}).failed()
        assert "refuses its user name or password" in error
        assert "wr0ng" not in error


def test_no_binary_has_a_distribution_built_although_there_is_a_wheel(place: Workshop) -> None:
    put_sdist(place, "homemade")
    make_wheel(place.index.directory, {"homemade.py": "bought = True\n"}, name="homemade", version="1.0")
    project = needing(place, "homemade", "--no-binary homemade")
    place.build(project, "--python-version", RUNNING).succeeded()
    (pex,) = place.out.glob("deps-*.pex")
    with zipfile.ZipFile(pex) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/homemade.py"))
        assert b"bought" not in archive.read(name)
    (lock,) = place.out.glob("*.pylock.toml")
    assert "homemade-1.0.tar.gz" in lock.read_text()


def test_a_dagster_cloud_that_cannot_run_the_dagster_is_refused(place: Workshop) -> None:
    make_wheel(place.index.directory, {"dagster/__init__.py": ""}, name="dagster", version="2.0.0")
    error = place.build(place.project()).failed()
    assert f"dagster 2.0.0 and dagster-cloud {DAGSTER} cannot work together" in error
    assert "where: project/requirements.txt:1" in error
    assert place.index.downloads() == []
    assert place.artefacts() == []


@pytest.mark.usefixtures("setup_project")
def test_a_build_gets_what_the_user_names_for_it_and_ordinary_variables(place: Workshop) -> None:
    workspace = place.workspace(
        "locations:\n  - {location_name: a, build: {directory: project}, code_source: {package_name: shop}}\n"
    )
    ordinary = {"BUILD_VERSION": "2.0", "GITHUB_SHA": "c0ffee"}
    named = ("--env", "MY_DB_PASSWORD", "--env", "LICENSE_KEY=given")
    more = {"BUILDER_PASS_ENV": "UV_PUBLISH_TOKEN"}
    place.run(
        "deploy", workspace, place.out, "--python-version", RUNNING, *named, env={**SECRETS, **ordinary, **more}
    ).succeeded()
    environment, _version, _directory = json.loads((place.root / "seen.json").read_text())
    assert {name: value for name, value in environment.items() if "s3cr3t" in value} == {
        "MY_DB_PASSWORD": "s3cr3t-of-the-database",
        "UV_PUBLISH_TOKEN": "s3cr3t-of-the-publisher",
    }
    assert (environment["LICENSE_KEY"], environment["BUILD_VERSION"], environment["GITHUB_SHA"]) == (
        "given",
        "2.0",
        "c0ffee",
    )
