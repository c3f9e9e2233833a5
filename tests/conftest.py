"""What all tests share: an environment without the developer's settings, a warm cache, and builder.pex."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from builder.resolution import uv
from builder.system import process, storage
from tests.support.cloud import CloudServer
from tests.support.commands import Workshop, workshop
from tests.support.server import CodeServer

REPOSITORY = Path(__file__).parents[1]

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

_SETTINGS = ("PIP_", "UV_", "GITHUB_", "GITLAB_", "CI_", "DAGSTER_", "PEX_", "BUILDER_", "SERVERLESS_")
_CI_AND_USERS = {"CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "NETRC", "REGISTRY_AUTH_FILE", "SOURCE_DATE_EPOCH"}


def _clear_settings() -> None:
    for name in list(os.environ):
        if name.startswith(_SETTINGS) or name in _CI_AND_USERS:
            del os.environ[name]
    # Without it, pip reads the configuration of the machine and of the user.
    os.environ["PIP_CONFIG_FILE"] = os.devnull


def _restore_signals() -> None:
    """Undo what nohup and a shell's background job do: programs inherit it, and do not hear a test's signal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    # Before anything is imported or collected; xdist's workers inherit it and come here too.
    _clear_settings()
    _restore_signals()
    assert config.cache is not None
    os.environ["BUILDER_CACHE_DIR"] = str(config.cache.mkdir("builder"))


_MARKS = {
    "builder_pex": [pytest.mark.slow, pytest.mark.network],
    "code_server": [pytest.mark.slow, pytest.mark.network, pytest.mark.xdist_group("code server")],
    "hosted": [pytest.mark.xdist_group("workflows")],
    "pushed": [pytest.mark.xdist_group("images of locations")],
    "yard": [pytest.mark.slow, pytest.mark.containers, pytest.mark.xdist_group("images")],
}
"""What every test that uses a fixture is."""


def pytest_itemcollected(item: pytest.Item) -> None:
    for fixture, marks in _MARKS.items():
        if fixture in getattr(item, "fixturenames", ()):
            for mark in marks:
                item.add_marker(mark)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001
    """Name bytes by their argument: a test with the bytes of an archive made now has another id in each worker."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, run the slow tests first: none of them is then the last that the others wait for."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
        _mend_groups(items)


def _mend_groups(items: list[pytest.Item]) -> None:
    """Have each test's id name its group: tests whose ids end in the same `@GROUP` go to one worker.

    pytest-xdist 3.8 writes that id where pytest 9.2 no longer looks: its issue 1386.
    """
    for item in items:
        if written := vars(item).get("_nodeid"):
            item._id = type(item.id).parse(written)  # noqa: SLF001  (what pytest-xdist meant to do)


@pytest.fixture(autouse=True)
def _uv_is_looked_for_anew() -> Iterator[None]:
    """A process remembers where its uv is; the cache of a test that passed is removed."""
    yield
    uv.executable.cache_clear()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    """A place to build, with an index of its own; the test must leave nothing half-made there."""
    with workshop(tmp_path) as made:
        yield made
        made.assert_clean()


@pytest.fixture
def cloud() -> Iterator[CloudServer]:
    """A Dagster Cloud of the test's own."""
    with CloudServer() as server:
        yield server


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, instead of the warm one that tests otherwise share."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(cache))
    return cache


@pytest.fixture(scope="session")
def builder_pex(pytestconfig: pytest.Config) -> Path:
    """builder.pex of this working tree, built once."""
    assert pytestconfig.cache is not None
    directory = pytestconfig.cache.mkdir("builder.pex")
    with storage.exclusive(directory / ".lock"):
        built = directory / _identity_of_sources() / "builder.pex"
        if not built.exists():
            # Each has 100 MB, but another run may still be using the latest ones.
            for old in sorted(directory.glob("*/"), key=lambda path: path.stat().st_mtime)[:-2]:
                shutil.rmtree(old)
            build_builder(sys.executable, REPOSITORY, built.parent)
    return built


@pytest.fixture(scope="session")
def server_storage() -> Iterator[CloudServer]:
    """The Dagster Cloud from whose storage `code_server` downloads."""
    with CloudServer() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def one_code_server(server_storage: CloudServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeServer]:
    """The receiving server of `code_server`."""
    storage, states = server_storage.storage_environ(), tmp_path_factory.mktemp("states")
    with CodeServer(storage=storage, states=states, source_pip=False) as server:
        yield server


@pytest.fixture
def code_server(one_code_server: CodeServer) -> Iterator[CodeServer]:
    """The real receiving server, one for all tests: it unpacks a deps PEX once, which takes ten seconds.

    Each location that a test creates has a name of its own.
    """
    with one_code_server.awake() as server:
        yield server


def build_builder(python: str | Path, repository: Path, output: Path, *, umask: int = 0o22, **extra: str) -> None:
    """What build-builder.sh does, with a Python of our choice."""
    finished = subprocess.run(
        [python, "-B", repository / "scripts" / "build_builder.py", output],
        env=process.clean_environment(extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        umask=umask,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout


def builder_sources() -> Iterator[Path]:
    """What builder.pex is made of, relative to the repository."""
    for directory in (REPOSITORY / "builder", REPOSITORY / "scripts"):
        for path in sorted(directory.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(REPOSITORY)
    yield from (Path("Pipfile"), Path("Pipfile.lock"), Path("build-builder.sh"))


def _identity_of_sources() -> str:
    digest = hashlib.sha256()
    for path in builder_sources():
        digest.update(f"{path} {storage.sha256_of(REPOSITORY / path)}\n".encode())
    return digest.hexdigest()[:16]
