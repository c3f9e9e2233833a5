"""How builder.pex starts: at home on every Python and platform that it names, and clear on every other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pythons import any_python
from tests.support.running_pex import link, refused, run, said, write_program

SUPPORTED = ["3.11", "3.12"]


def test_says_what_a_python_without_lzma_lacks(builder_pex: Path, empty_cache: Path) -> None:
    lacking = "import runpy, sys; sys.modules['_lzma'] = None; sys.argv = ['x', '-m', {!r}, '--help']"
    lacking += f"; runpy.run_path({str(builder_pex)!r}, run_name='__main__')"
    said(run([any_python("3.12"), builder_pex, "--version"]))
    line = refused(run([any_python("3.12"), "-c", lacking.format("dagster")]))
    assert "needs the module lzma" in line
    assert "OUT_DIR" in said(run([any_python("3.12"), "-c", lacking.format("builder.deploy")]))
    assert empty_cache.exists()


@pytest.mark.parametrize("version", SUPPORTED)
def test_command_lines_inside(builder_pex: Path, version: str) -> None:
    def inside(*arguments: str) -> str:
        return said(run([any_python(version), builder_pex, "-m", *arguments]))

    assert "dagster, version 1." in inside("dagster", "--version")
    assert "version: 1." in inside("dagster_cloud_cli.entrypoint", "--version")
    assert "version 1." in inside("dagster_dg_cli.cli", "--version")
    assert inside("pex", "--version") == "2.59.5"
    assert f"(python {version})" in inside("pip", "--version")
    assert "OUT_DIR" in inside("builder.deploy", "--help")


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13"])
def test_another_python_is_told_which_will_do(builder_pex: Path, version: str) -> None:
    line = refused(run([any_python(version), builder_pex, "-m", "dagster", "--version"]))
    assert "runs on CPython 3.11 and 3.12 on Linux x86_64, Linux aarch64" in line
    assert f"this is CPython {version} on " in line


def test_another_platform_is_told_which_will_do(builder_pex: Path) -> None:
    def pretend(code: str) -> str:
        code = f"import os, runpy, sys; {code}; runpy.run_path({str(builder_pex)!r}, run_name='__main__')"
        return refused(run([any_python("3.12"), "-c", code]))

    riscv = pretend("os.uname = lambda: ('Linux', 'n', 'r', 'v', 'riscv64')")
    assert "this is CPython 3.12 on Linux riscv64 (" in riscv
    intel = pretend("os.uname = lambda: ('Darwin', 'n', 'r', 'v', 'x86_64')")
    assert "this is CPython 3.12 on macOS x86_64 (" in intel
    musl = pretend("os.uname = lambda: ('Linux', 'n', 'r', 'v', 'aarch64'); os.confstr_names = {}")
    assert "this is CPython 3.12 on Linux aarch64, 32-bit or without glibc (" in musl
    windows = pretend("del os.uname; os.environ['PROCESSOR_ARCHITECTURE'] = 'AMD64'")
    assert "this is CPython 3.12 on Windows AMD64 (" in windows


def test_starts_by_itself_where_names_on_path_mislead(builder_pex: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools with spaces"
    tools.mkdir()
    write_program(tools / "python3.11", "exit 127")
    link(tools / "python3", any_python("3.9"))
    link(tools / "python", any_python("3.12"))
    place = tmp_path / "it's here"
    place.mkdir()
    named = place / "builder.pex"
    named.symlink_to(builder_pex)
    finished = run([named, "-m", "pip", "--version"], env={"PATH": f"{tools}:/bin"})
    # On systems without a merged /usr there is no python in /bin at all; elsewhere a better one may be found.
    assert any(f"(python {version})" in said(finished) for version in SUPPORTED)


def test_tells_that_there_is_no_python(builder_pex: Path, tmp_path: Path) -> None:
    link(tmp_path / "python3", any_python("3.9"))
    line = refused(run([builder_pex, "-m", "pip"], env={"PATH": str(tmp_path)}))
    assert "needs a working CPython 3.11 or 3.12 on PATH" in line


def test_tells_that_there_is_no_such_module(builder_pex: Path) -> None:
    for module in ("nonsense", "pip.nonsense"):
        assert f"no module `{module}`" in refused(run([sys.executable, builder_pex, "-m", module]))


def test_leaves_the_current_directory_alone(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    finished = subprocess.run(
        [sys.executable, builder_pex, "-m", "dagster", "--version"], cwd=work, check=True, capture_output=True
    )
    assert b"1." in finished.stdout
    assert list(work.iterdir()) == []
    assert empty_cache.exists()
