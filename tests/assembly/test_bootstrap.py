from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from builder.assembly.bootstrap import PEX_VERSION, make_bootstrap
from builder.errors import ToolError
from builder.system.storage import sha256_of
from tests.support.pextools import REPOSITORY, Reader, reader, run, site_packages
from tests.support.pythons import any_python


def test_same_bytes_on_every_python_and_machine(newest_reader: Reader, tmp_path: Path) -> None:
    path = os.pathsep.join([str(REPOSITORY), str(site_packages(newest_reader.venv))])
    common = {"BUILDER_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    run(
        [sys.executable, "-m", "builder.assembly.bootstrap", tmp_path / "one.pex"],
        extra_environment={**common, "HOME": str(tmp_path), "PEX_ROOT": "/nowhere", "PEX_PYTHON": "/nowhere"},
    )
    old = os.umask(0o077)
    try:
        run(
            [any_python("3.12"), "-m", "builder.assembly.bootstrap", tmp_path / "two.pex"],
            cwd=tmp_path,
            extra_environment={**common, "XDG_CACHE_HOME": str(tmp_path / "x"), "LC_ALL": "C", "TZ": "Asia/Tokyo"},
        )
    finally:
        os.umask(old)
    assert sha256_of(tmp_path / "one.pex") == sha256_of(tmp_path / "two.pex")


def test_holds_nothing_compressed_and_nothing_of_this_machine(bootstrap_cache: Path) -> None:
    (template,) = bootstrap_cache.glob("bootstrap-*/*/bootstrap.pex")
    with zipfile.ZipFile(template) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        boot = archive.read("__pex__/__init__.py").decode()
    assert "pex_root='~/.cache/pex'" in boot
    assert str(Path.home()) not in boot


def test_refuses_another_pex(downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site_packages(reader("2.20.0", downloads).venv))
    with pytest.raises(ToolError, match=r"pex 2\.20\.0 is installed") as caught:
        make_bootstrap(tmp_path / "bootstrap.pex")
    assert f"pex=={PEX_VERSION}" in (caught.value.remedy or "")
    assert not list(tmp_path.iterdir())
