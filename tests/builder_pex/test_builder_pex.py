"""builder.pex: built the same everywhere, and at home on every Python and platform that it names."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from builder_pex_boot import caches

from builder.system import storage
from tests.conftest import REPOSITORY, build_builder
from tests.support.commands import write_tree
from tests.support.pythons import any_python

SUPPORTED = ["3.11", "3.12"]


def run(
    argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def said(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def refused(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line that it said when it gave up."""
    assert finished.returncode == 1, finished
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    return line


def evaluate(pex: Path, code: str, **env: str) -> str:
    """What a piece of code prints that runs inside builder.pex."""
    # timeit looks for modules in the current directory too.
    out = said(
        run([sys.executable, pex, "-m", "timeit", "--number=1", "--repeat=1", code], env=env, cwd=pex.parent)
    )
    return out.rpartition("\n")[0]


def test_same_bytes_everywhere(builder_pex: Path, copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "the other"
    # Another directory, and another Python with another pip, which fetches everything anew.
    build_builder(
        any_python("3.12"),
        copy,
        other,
        umask=0o77,
        TZ="Asia/Kathmandu",
        LC_ALL="C",
        BUILDER_CACHE_DIR=str(tmp_path / "cache"),
    )
    assert storage.sha256_of(builder_pex) == storage.sha256_of(other / "builder.pex")
    assert os.access(other / "builder.pex", os.X_OK)


def test_the_build_script_finds_a_python_and_obeys_its_argument(copy: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.11", "python3.12"):
        write_program(shims / name, "exit 127")
    link(shims / "python", sys.executable)
    finished = run([copy / "build-builder.sh", tmp_path / "out"], env={"PATH": f"{shims}:/usr/bin:/bin"})
    assert f"wrote {tmp_path / 'out' / 'builder.pex'}" in said(finished)
    assert (tmp_path / "out" / "builder.pex").exists()


@pytest.mark.network
def test_a_file_that_the_lock_does_not_know_is_refused(copy: Path, tmp_path: Path) -> None:
    lock = json.loads((copy / "Pipfile.lock").read_text())
    lock["default"]["mdurl"]["hashes"] = ["sha256:" + "0" * 64]
    (copy / "Pipfile.lock").write_text(json.dumps(lock))
    finished = run([sys.executable, "-B", copy / "scripts" / "build_builder.py", tmp_path / "out"])
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "mdurl" in finished.stderr
    assert not (tmp_path / "out").exists()


def test_says_what_a_python_without_lzma_lacks(builder_pex: Path, empty_cache: Path) -> None:
    lacking = "import runpy, sys; sys.modules['_lzma'] = None; sys.argv = ['x', '-m', {!r}, '--help']"
    lacking += f"; runpy.run_path({str(builder_pex)!r}, run_name='__main__')"
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


def test_sees_only_what_it_brings(builder_pex: Path, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise RuntimeError('the wrong click')")
    code = "import click, sys; print(click.__version__); print([p for p in sys.path if 'site-packages' in p])"
    version, elsewhere = evaluate(builder_pex, code, PYTHONPATH=str(tmp_path)).splitlines()
    assert version
    assert elsewhere == "[]"


def test_unpacks_dagster_only_when_it_is_asked_for(builder_pex: Path, empty_cache: Path) -> None:
    assert evaluate(builder_pex, "import click, yaml, httpx; print(1)") == "1"
    assert len(list((empty_cache / "boot").iterdir())) == 1
    code = "import dagster, importlib.metadata as m; print(m.version('dagster') == dagster.__version__)"
    assert evaluate(builder_pex, code) == "True"
    assert len(list((empty_cache / "boot").iterdir())) == 2


def test_holds_all_that_the_builder_imports(builder_pex: Path, empty_cache: Path) -> None:
    imported = {
        module.partition(".")[0]
        for path in (REPOSITORY / "builder").rglob("*.py")
        # These run in the environments of a project's build backend and of its code.
        if path.name not in {"metadata_hook.py", "child.py"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for module in imports(node)
    }
    # What only deploying needs.
    of_dagster = {"dagster_cloud_cli", "dagster_shared", "rich"}
    assert {"click", "httpx", "yaml", *of_dagster} <= imported
    lacking = "from importlib.util import find_spec as f; print([n for n in {} if not f(n)])"
    assert evaluate(builder_pex, lacking.format(sorted(imported - of_dagster))) == "[]"
    # Unpacking dagster's part would slow each fresh start down.
    assert len(list((empty_cache / "boot").iterdir())) == 1
    assert evaluate(builder_pex, lacking.format(sorted(of_dagster))) == "[]"


def test_deploys_without_the_part_of_dagster(builder_pex: Path, empty_cache: Path) -> None:
    # Unpacking it would take half a second of each deploy on a fresh machine.
    assert evaluate(builder_pex, "import builder.delivery.deliver, builder.deployment.graphql; print(1)") == "1"
    assert len(list((empty_cache / "boot").iterdir())) == 1


@pytest.mark.parametrize("module", ["dagster_cloud_cli", "dagster_shared.plus.config"])
def test_has_what_asks_for_that_part_at_hand(builder_pex: Path, empty_cache: Path, module: str) -> None:
    assert evaluate(builder_pex, f"import {module}; print({module.rpartition('.')[2]!r})")
    assert len(list((empty_cache / "boot").iterdir())) == 2


def test_has_bars(builder_pex: Path, empty_cache: Path) -> None:
    code = "from builder.terminal.bars import Bars; print(type(Bars([])).__name__)"
    assert evaluate(builder_pex, code) == "Bars"
    assert len(list((empty_cache / "boot").iterdir())) == 2


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_works_without_what_was_left_out(builder_pex: Path) -> None:
    # cryptography, and the compiled part of sqlalchemy.
    code = "import dagster_cloud_cli.commands.ci, github3, jwt, sqlalchemy; print(sqlalchemy.text('1'))"
    assert evaluate(builder_pex, code) == "1"


def test_finds_packages_and_holds_what_their_images_are_made_of(builder_pex: Path, tmp_path: Path) -> None:
    write_tree(tmp_path, {"one/setup.py": 'from setuptools import setup\nsetup(name="one", version="1.0")\n'})
    assert "setuptools.build_meta" in said(run([builder_pex, "-m", "builder.packages", "discover", tmp_path]))
    code = "from importlib import resources as r; d = r.files('builder.monorepo.images')"
    code += "; print((d / 'Dockerfile').is_file(), (d / 'verify_import.py').is_file())"
    assert evaluate(builder_pex, code) == "True True"


def test_children_find_the_tools_inside(builder_pex: Path) -> None:
    for module, version in (("pex", "2.59.5"), ("pip", "pip 2")):
        code = (
            "from builder.system import process; "
            f"print(process.run_module('{module}', ['--version'], env=process.clean_environment()).stdout)"
        )
        assert evaluate(builder_pex, code).startswith(version)


def test_ships_the_bootstrap_of_pex(builder_pex: Path) -> None:
    code = "from builder.assembly import bootstrap as b; print(bool(b._shipped()), len(b.bootstrap().members))"
    shipped, count = evaluate(builder_pex, code).split()
    assert shipped == "True"
    assert int(count) > 100


def test_leaves_the_current_directory_alone(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    finished = subprocess.run(
        [sys.executable, builder_pex, "-m", "dagster", "--version"], cwd=work, check=True, capture_output=True
    )
    assert b"1." in finished.stdout
    assert list(work.iterdir()) == []
    assert empty_cache.exists()


def test_uses_the_same_cache_as_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(caches()) == str(storage.cache_directory())
    monkeypatch.delenv("BUILDER_CACHE_DIR")
    assert next(caches()) == str(storage.cache_directory())


def test_unpacks_elsewhere_when_the_cache_cannot_be_written(builder_pex: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"BUILDER_CACHE_DIR": str(tmp_path / "file" / "cache"), "TMPDIR": str(tmp_path)}
    assert "pip 2" in said(run([sys.executable, builder_pex, "-m", "pip", "--version"], env=env))
    (own,) = tmp_path.glob("dagster-builder-*")
    assert own.stat().st_mode & 0o777 == 0o700

    # Where others can write, they could have put anything.
    own.chmod(0o777)
    line = refused(run([sys.executable, builder_pex, "-m", "pip", "--version"], env=env))
    assert "set BUILDER_CACHE_DIR to a writable directory" in line


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped"])
def test_heals_its_cache(builder_pex: Path, empty_cache: Path, damage: str) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "pip", "--version"]
    said(run(command))
    (victim,) = empty_cache.glob("boot/*/pip/__main__.py")
    content = victim.read_bytes()
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"" if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    assert "pip 2" in said(run(command))
    assert victim.read_bytes() == content
    assert len(list((empty_cache / "boot").iterdir())) == 1


@pytest.mark.parametrize("kind", ["source", "bytecode"])
@pytest.mark.parametrize("module", ["builder/diff.py", "builder/resolution/lock_diff.py"])
def test_heals_what_only_a_failure_shows(builder_pex: Path, empty_cache: Path, kind: str, module: str) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "builder.diff", "one.toml", "other.toml"]
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    right = run(command, cwd=builder_pex.parent, env=env)
    assert "one.toml" in right.stderr
    (source,) = empty_cache.glob(f"boot/*/{module}")
    bytecode = Path(cache_from_source(str(source)))
    if kind == "source":
        bytecode.unlink(missing_ok=True)
        damage_keeping_the_time(source)
    else:
        content = bytearray(bytecode.read_bytes())
        content[16] = 0  # No object of marshal begins so.
        bytecode.write_bytes(content)
    healed = run(command, cwd=builder_pex.parent, env=env)
    assert healed.stderr == "builder.pex: damaged files in the cache were replaced; running again\n" + right.stderr
    assert (healed.stdout, healed.returncode) == (right.stdout, right.returncode)
    assert run(command, cwd=builder_pex.parent, env=env).stderr == right.stderr


def damage_keeping_the_time(source: Path) -> None:
    """Damage a module as a disk would: neither its size nor its time of change tells of it."""
    status = source.stat()
    content = source.read_bytes()
    damaged = content.replace(b"from __future__ import annotations", b"from __future__ import annotationr")
    assert damaged != content
    source.write_bytes(damaged)
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_defect_does_not_start_it_anew(builder_pex: Path, empty_cache: Path) -> None:
    finished = run([sys.executable, builder_pex, "-m", "timeit", "--number=1", "1/0"])
    assert empty_cache.exists()
    assert finished.returncode == 1
    assert "ZeroDivisionError" in finished.stderr
    assert "running again" not in finished.stderr


def test_a_copied_cache_is_good(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    command: list[str | Path] = [sys.executable, builder_pex, "-m", "pip", "--version"]
    said(run(command))
    # Without the times, which is what the first look compares.
    copied = tmp_path / "copied"
    shutil.copytree(empty_cache, copied, copy_function=shutil.copyfile)
    before = {path: path.stat().st_ino for path in copied.glob("boot/*/pip/*.py")}
    assert "pip 2" in said(run(command, env={"BUILDER_CACHE_DIR": str(copied)}))
    assert {path: path.stat().st_ino for path in before} == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_it_unpacks_leaves_nothing(
    builder_pex: Path, empty_cache: Path, number: signal.Signals
) -> None:
    started = subprocess.Popen(
        [sys.executable, builder_pex, "-m", "builder.selftest", "--offline"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    while not list(empty_cache.glob("boot/.builder-tmp-*/*")):
        assert started.poll() is None
    started.send_signal(number)
    _stdout, stderr = started.communicate()
    assert started.returncode == 128 + number
    assert "Traceback" not in stderr
    assert list(empty_cache.glob("boot/.builder-tmp-*")) == []


def test_what_a_killed_start_left_goes_after_a_day(builder_pex: Path, empty_cache: Path) -> None:
    leftovers = [empty_cache / "boot" / f".builder-tmp-{age}" for age in ("old", "new")]
    for leftover in leftovers:
        (leftover / "pip").mkdir(parents=True)
    yesterday = time.time() - 90_000
    os.utime(leftovers[0], (yesterday, yesterday))
    said(run([sys.executable, builder_pex, "-m", "pip", "--version"]))
    assert [leftover.exists() for leftover in leftovers] == [False, True]


def test_several_starts_at_once(builder_pex: Path, empty_cache: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, builder_pex, "-m", "pip", "--version"], stdout=subprocess.PIPE, encoding="utf-8"
        )
        for _ in range(4)
    ]
    answers = [start.communicate()[0] for start in starts]
    assert all(answer.startswith("pip 2") for answer in answers)
    assert len(list((empty_cache / "boot").iterdir())) == 1


def test_a_damaged_file_is_told_from_a_good_one(builder_pex: Path, tmp_path: Path, empty_cache: Path) -> None:
    damaged = tmp_path / "builder.pex"
    shutil.copy2(builder_pex, damaged)
    with zipfile.ZipFile(builder_pex) as archive:
        (wheel,) = (info for info in archive.infolist() if info.filename.startswith("click-"))
    with damaged.open("r+b") as stream:
        stream.seek(wheel.header_offset + 1000)
        stream.write(b"not what was there before")
    assert "the file is damaged" in refused(run([sys.executable, damaged, "-m", "pip", "--version"]))
    assert list((empty_cache / "boot").iterdir()) == []


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def link(path: Path, interpreter: Path | str) -> None:
    # A symbolic link would make a virtual environment's Python forget where it lives.
    write_program(path, f'exec "{interpreter}" "$@"')
