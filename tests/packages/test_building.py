"""Building packages once, in order, reproducibly, without secrets, and with their web applications."""

from __future__ import annotations

import contextlib
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from builder.errors import UsageError
from builder.packages import selection
from builder.packages.building import Build, build_wheelhouse
from builder.packages.discover import discover
from builder.packages.rewriting import plan_rewriting
from builder.packages.versions import manual_versions
from builder.packages.wheelhouse import read_wheelhouse
from builder.system import storage
from builder.terminal.console import console
from tests.support.commands import write_tree
from tests.support.monorepo import PUBLISHED, Era, make_monorepo
from tests.support.repositories import Repository

pytestmark = pytest.mark.slow

_HATCHLING = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def _build(
    root: Path, out: Path, *selectors: str, workers: int = 2, epoch: int | None = None, siblings: bool = True
) -> Build:
    repository = discover(root)
    packages = selection.select(repository, selectors or ["all"])
    if siblings:
        packages = selection.with_siblings(repository, packages)
    return build_wheelhouse(repository, packages, out, source_date_epoch=epoch, workers=workers)


def _project(name: str, rest: str = "", version: str = "1.0") -> str:
    return f'[project]\nname = "{name}"\nversion = "{version}"\n{rest}{_HATCHLING}'


def _members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def _metadata(wheel: Path) -> Metadata:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(archive.read(name))


def _versioned(path: Path, era: Era, **options: bool) -> Repository:
    repository = make_monorepo(path, era, **options)
    plan_rewriting(discover(path), manual_versions("1.13.30")).apply()
    repository.git("commit", "-q", "--all", "-m", "Versions")
    return repository


@pytest.mark.parametrize("era", ["pyproject", "setup.py"])
def test_every_package_is_built_once_with_its_version_pins_and_files(tmp_path: Path, era: Era) -> None:
    repository = _versioned(tmp_path / "repository", era)

    build = _build(repository.path, tmp_path / "out")

    assert [failure.error.detail for failure in build.failures] == []
    wheelhouse = read_wheelhouse(tmp_path / "out")
    assert wheelhouse == build.wheelhouse
    assert [package.name for package in wheelhouse.packages] == list(PUBLISHED)
    assert wheelhouse.commit == repository.git("rev-parse", "HEAD")
    wheels = {package.name: wheelhouse.wheel_path(package) for package in wheelhouse.packages}
    assert {path.name for path in wheels.values()} == {path.name for path in (tmp_path / "out").glob("*.whl")}
    celery, airlift = _metadata(wheels["dagster-celery"]), _metadata(wheels["dagster-airlift"])
    assert list(map(str, celery.requires_dist or ())) == ["dagster==1.13.30"]
    pins = {str(each).replace("'", '"') for each in airlift.requires_dist or ()}
    assert 'dagster-dbt==0.29.30; python_version < "3.14" and extra == "test"' in pins
    assert any(pin.startswith("dagster-celery==0.29.30") for pin in pins)
    # Tracked files are included even if git ignores them; tests and files that the manifest excludes are not.
    assert "dagster/_core/definitions/tags/__init__.py" in _members(wheels["dagster"])
    assert not [name for name in _members(wheels["dagster"]) if name.endswith(".g4") or "tests" in name]
    webserver = wheelhouse.package("dagster-webserver")
    assert "dagster_webserver/webapp/build/index.html" in _members(wheels["dagster-webserver"])
    assert (webserver.has_webapp, webserver.console_scripts) == (True, ("dagster-webserver",))
    assert (webserver.import_names, webserver.family) == (("dagster_webserver",), "core")
    assert webserver.requires == ("dagster", "dagster-graphql")
    assert webserver.summary == "The package dagster-webserver."
    # The user's tree is unchanged.
    assert repository.git("status", "--porcelain", "--ignored").split() == [
        "!!",
        "python_modules/dagster-webserver/dagster_webserver/webapp/",
    ]


@pytest.mark.parametrize("era", ["pyproject", "setup.py"])
def test_equal_commits_give_equal_bytes(tmp_path: Path, era: Era) -> None:
    one = _versioned(tmp_path / "one", era)
    other = tmp_path / "elsewhere" / "two"
    other.parent.mkdir()
    one.git("clone", "-q", str(one.path), str(other))
    webapp = Path("python_modules/dagster-webserver/dagster_webserver/webapp/build")
    write_tree(other, {f"{webapp}/{name.name}": name.read_text() for name in (one.path / webapp).iterdir()})
    # Leftovers of earlier builds.
    write_tree(
        other, {"python_modules/dagit/build/lib/dagit/old.py": "", "python_modules/dagit/dagit.egg-info/x": ""}
    )
    umask = os.umask(0o077)
    try:
        second = _build(other, tmp_path / "out2", "dagster-webserver,dagit", workers=1, siblings=False)
    finally:
        os.umask(umask)
    first = _build(one.path, tmp_path / "out1", "dagit,dagster-webserver", workers=3, siblings=False)

    assert not first.failures + second.failures
    sums = [(tmp_path / out / "SHA256SUMS").read_text() for out in ("out1", "out2")]
    assert sums[0] == sums[1]
    assert sums[0].count("\n") == 2
    dated = _build(one.path, tmp_path / "out3", "dagster-pipes", epoch=1_700_000_000).wheelhouse
    with zipfile.ZipFile(dated.wheel_path(dated.packages[0])) as archive:
        assert {info.date_time for info in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
    assert dated.source_date_epoch == 1_700_000_000


@pytest.mark.parametrize("era", ["pyproject", "setup.py"])
def test_a_package_without_its_web_application_fails_and_stops_no_other(tmp_path: Path, era: Era) -> None:
    repository = _versioned(tmp_path / "repository", era, webapp=False)

    build = _build(repository.path, tmp_path / "out", "dagster-webserver,dagster-pipes", siblings=False)

    (failure,) = build.failures
    assert failure.name == "dagster-webserver"
    assert "lacks its web application" in failure.error.what
    assert "Build the web application into `python_modules/dagster-webserver/" in (failure.error.remedy or "")
    assert [each.name for each in read_wheelhouse(tmp_path / "out").packages] == ["dagster-pipes"]


def test_a_web_application_that_the_manifest_forgets_is_noticed(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject")
    manifest = repository.path / "python_modules/dagster-webserver/pyproject.toml"
    manifest.write_text(manifest.read_text().replace('artifacts = ["dagster_webserver/webapp/build/"]', ""))

    (failure,) = _build(repository.path, tmp_path / "out", "dagster-webserver", siblings=False).failures

    assert "lacks its web application" in failure.error.what
    assert "Let the manifest include" in (failure.error.remedy or "")


def test_what_links_mean_is_built(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject")
    package = repository.path / "python_modules/dagster-pipes/dagster_pipes"
    (package / "shared").symlink_to("../../libraries/dagster-shared/dagster_shared")
    (package / "version_too.py").symlink_to("version.py")

    build = _build(repository.path, tmp_path / "house", "dagster-pipes")

    wheel = build.wheelhouse.wheel_path(build.wheelhouse.package("dagster-pipes"))
    assert {"dagster_pipes/shared/version.py", "dagster_pipes/version_too.py"} <= {*_members(wheel)}


def test_builds_see_the_date_and_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(
        tmp_path / "repository",
        {
            "x/setup.py": "import os\nfrom setuptools import setup\n"
            "open('x.py', 'w').write('\\n'.join(f'# {key}={value}' for key, value in os.environ.items()))\n"
            "setup(name='x', version='1.0', py_modules=['x'])\n",
        },
    )
    for name in ("DAGSTER_CLOUD_API_TOKEN", "GITHUB_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "PYPI_TOKEN"):
        monkeypatch.setenv(name, "c0nfidential")
    monkeypatch.setenv("HARMLESS", "visible")

    build = _build(tmp_path / "repository", tmp_path / "out", epoch=1_700_000_000)

    with zipfile.ZipFile(build.wheelhouse.wheel_path(build.wheelhouse.packages[0])) as archive:
        text = archive.read("x.py").decode()
    assert "SOURCE_DATE_EPOCH=1700000000" in text
    assert "HARMLESS=visible" in text
    assert "c0nfidential" not in text


def test_failures_are_named_and_stop_no_other(tmp_path: Path) -> None:
    write_tree(
        tmp_path / "repository",
        {
            "broken/setup.py": "from setuptools import setup\nsetup(name='broken', version='1.0')\n"
            "raise RuntimeError('no')\n",
            "good/pyproject.toml": _project("good"),
            "good/good/__init__.py": "",
            "other/pyproject.toml": _project("other", 'dependencies = ["good==2.0"]\n'),
            "other/other.py": "",
            "stray/stray/__init__.py": "",
            "stray/pyproject.toml": _project("stray")
            + '[tool.hatch.build.targets.wheel]\npackages = ["stray", "tests"]\n',
            "stray/tests/__init__.py": "",
            "empty/setup.py": "from setuptools import setup\nsetup(name='empty', version='1.0', packages=[])\n",
            "lying/setup.py": "from setuptools import setup\nimport sys\nver = '1.1'\n"
            "setup(name='lying', version='1.0' if False else ver, py_modules=['lying'])\n",
            "lying/lying.py": "__version__ = '1.0'\n",
            "lying/lying/__init__.py": "__version__ = '1.0'\n",
        },
    )

    build = _build(tmp_path / "repository", tmp_path / "out")

    assert [package.name for package in build.wheelhouse.packages] == ["good"]
    said = {failure.name: f"{failure.error.what}\n{failure.error.detail}" for failure in build.failures}
    assert list(said) == ["broken", "empty", "lying", "other", "stray"]
    assert "RuntimeError: no" in said["broken"]
    assert "installs nothing that can be imported" in said["empty"]
    assert "has version 1.1, but its files say 1.0" in said["lying"]
    assert "requires `good==2.0`, but the repository has 1.0" in said["other"]
    assert "installs a top-level `tests`" in said["stray"]


def test_what_a_build_needs_of_the_repository_is_built_before_and_taken_from_there(tmp_path: Path) -> None:
    backend = (
        "import pathlib\nfrom hatchling.build import *\n"
        "pathlib.Path('main').mkdir(exist_ok=True)\npathlib.Path('main/__init__.py').write_text('made = 1\\n')\n"
    )
    write_tree(
        tmp_path / "repository",
        {
            # In alphabetical order, `a-main` would be built first.
            "a-main/pyproject.toml": '[project]\nname = "a-main"\nversion = "1.0"\n[build-system]\n'
            'requires = ["hatchling", "our-backend"]\nbuild-backend = "our_backend"\n'
            '[tool.hatch.build.targets.wheel]\npackages = ["main"]\n',
            "our-backend/pyproject.toml": _project("our-backend", version="9.0"),
            "our-backend/our_backend/__init__.py": backend,
        },
    )

    build = _build(tmp_path / "repository", tmp_path / "out", "a-main")

    assert [failure.error.detail for failure in build.failures] == []
    assert build.wheelhouse.package("a-main").import_names == ("main",)


def test_a_build_replaces_an_older_wheelhouse_and_nothing_else(tmp_path: Path) -> None:
    repository = _versioned(tmp_path / "repository", "pyproject")
    out = tmp_path / "out"
    _build(repository.path, out, "dagster-pipes,dagster-shared")
    write_tree(out, {"locks/dagster-pipes.txt": "", "notes.txt": "mine"})

    _build(repository.path, out, "dagster-shared")

    assert sorted(path.name for path in out.iterdir()) == [
        *("SHA256SUMS", "dagster_shared-1.13.30-py3-none-any.whl", "locks", "notes.txt", "wheelhouse.json"),
    ]
    assert not list((out / "locks").iterdir())
    assert not list(out.rglob(f"{storage.TEMPORARY_PREFIX}*"))
    (out / "strange-1.0-py3-none-any.whl").touch()
    with pytest.raises(UsageError, match="already has wheels"):
        _build(repository.path, out, "dagster-shared")


def test_no_more_than_the_workers_build_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(
        tmp_path / "repository",
        {
            f"p{number}/{name}": text
            for number in range(4)
            for name, text in (("pyproject.toml", _project(f"p{number}")), (f"p{number}.py", ""))
        },
    )
    lock, now, most = threading.Lock(), 0, 0

    @contextlib.contextmanager
    def step(_title: str) -> Iterator[None]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        yield
        with lock:
            now -= 1

    monkeypatch.setattr(console, "step", step)
    repository = discover(tmp_path / "repository")
    build_wheelhouse(repository, repository.packages, tmp_path / "out", source_date_epoch=None, workers=2)

    assert most == 2
