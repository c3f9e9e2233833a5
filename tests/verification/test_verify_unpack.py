"""Unpacked deps PEX files in the cache, and checking whether this machine can run them, with tiny PEX files."""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from pathlib import Path

import pytest

from builder.assembly.deps_pex import assemble_deps_pex
from builder.errors import LoadError
from builder.project.location import CodeSource
from builder.system import process, storage
from builder.verification import compatibility
from builder.verification.compatibility import NotVerified
from builder.verification.unpack import forget, kept_deps, prune, remembering, unpack, unpacked_deps
from builder.verification.verify import ToVerify, verify_locations
from tests.support.programs import REPOSITORY
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = Path(sys.executable)
HOUR = 3600.0


def make_deps(root: Path, *, version: str = "1.0") -> Path:
    root.mkdir(exist_ok=True)
    wheel = make_wheel(root, {"tool.py": f"VERSION = {version!r}\n"}, name="tool", version=version)
    made = assemble_deps_pex([wheel], identity=version.replace(".", "a"), python_version=RUNNING, out_dir=root)
    return made.artefact.path


@pytest.fixture
def deps(tmp_path: Path, empty_cache: Path) -> Path:
    assert not empty_cache.exists()
    return make_deps(tmp_path / "wheels")


def test_a_deps_pex_is_unpacked_once_and_again_when_it_is_damaged(deps: Path) -> None:
    sha256 = storage.sha256_of(deps)
    assert kept_deps(sha256, PYTHON) is None
    unpacked = unpacked_deps(deps, sha256, PYTHON)
    module = unpacked.site_packages / "tool.py"
    environment = process.clean_environment()
    process.run([unpacked.venv / "bin" / "python", "-c", "import tool"], env=environment)
    first = module.stat().st_ino

    # Bytecode written by the first import does not count as damage.
    assert (unpacked.site_packages / "__pycache__").is_dir()
    deps.unlink()
    assert unpacked_deps(deps, sha256, PYTHON) == unpacked
    assert module.stat().st_ino == first
    assert kept_deps(sha256, PYTHON) == unpacked.venv

    make_deps(deps.parent)
    for damage in (
        module.unlink,
        lambda: module.write_text(""),
        lambda: module.write_text("VERSION = '1.1'\n"),
        (unpacked.venv.parent / "stamp").unlink,
    ):
        damage()
        assert kept_deps(sha256, PYTHON) is None
        assert unpacked_deps(deps, sha256, PYTHON) == unpacked
        assert module.read_text() == "VERSION = '1.0'\n"

    with remembering():
        assert kept_deps(sha256, PYTHON) == unpacked.venv
        module.unlink()
        # Nothing ran that could have done that.
        assert kept_deps(sha256, PYTHON) == unpacked.venv
        forget()
        assert kept_deps(sha256, PYTHON) is None
        assert unpacked_deps(deps, sha256, PYTHON) == unpacked
        assert kept_deps(sha256, PYTHON) == unpacked.venv
        module.unlink()
    assert kept_deps(sha256, PYTHON) is None


def test_what_cannot_be_unpacked_leaves_nothing(deps: Path, tmp_path: Path) -> None:
    broken = tmp_path / "deps-broken.pex"
    with zipfile.ZipFile(broken, "w") as archive:
        archive.writestr("PEX-INFO", "{}")
    with pytest.raises(LoadError, match=r"`deps-broken\.pex` cannot be unpacked"):
        unpacked_deps(broken, "0" * 64, PYTHON)
    directory = storage.cache_directory() / "verify" / "deps"
    assert not list(directory.glob("*/"))
    # The next run uses a new, undamaged cache of pex.
    assert unpack(deps, PYTHON, tmp_path / "venv").entry_point.is_file()


def test_those_used_last_are_kept_and_those_that_may_be_in_use(empty_cache: Path) -> None:
    directory = empty_cache / "verify" / "deps"
    now = time.time()
    ages = {"new": 0.0, "a": 2 * HOUR, "b": 3 * HOUR, "c": 4 * HOUR, "d": 5 * HOUR, "recent": HOUR / 2}
    for name, age in ages.items():
        (directory / name / "venv").mkdir(parents=True)
        (directory / name / "stamp").touch()
        os.utime(directory / name / "stamp", (now - age, now - age))
    (directory / "half-made").mkdir()
    os.utime(directory / "half-made", (now - 6 * HOUR, now - 6 * HOUR))
    prune()
    assert {path.name for path in directory.glob("*/")} == {"new", "recent", "a", "b"}
    for name in ("new", "recent", "a", "b"):
        os.utime(directory / name / "stamp", (now, now))
        (directory / f"{name}-too").mkdir()
    prune()
    assert len(list(directory.glob("*/"))) == 8


def test_a_machine_says_what_it_cannot_run(tmp_path: Path) -> None:
    names = {
        "tool-1.0-py3-none-any.whl": "",
        "fast-1.0-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": "",
        "arm-1.0-cp311-cp311-manylinux_2_17_mips64.whl": "",
        "old-1.0-cp27-cp27m-win32.whl": "",
    }
    (tmp_path / "PEX-INFO").write_text(json.dumps({"distributions": names}))
    found = compatibility.unfit(tmp_path, "3.11")
    assert found is not None
    assert found.reason.startswith("this machine (")
    assert found.reason.endswith(f"cannot run `{list(names)[2]}` and 1 other distributions")
    (tmp_path / "PEX-INFO").write_text(json.dumps({"distributions": dict(list(names.items())[:1])}))
    assert compatibility.unfit(tmp_path, "3.11") is None


def test_not_verified_is_neither_success_nor_failure(deps: Path, tmp_path: Path) -> None:
    item = ToVerify(
        name="sales",
        source=tmp_path / "source.pex",
        deps=deps,
        python_version="3.99",
        code=CodeSource("module_name", "app"),
    )
    missing = ToVerify(
        name="other",
        source=tmp_path / "source.pex",
        deps=tmp_path / "deps.pex",
        python_version=RUNNING,
        code=item.code,
    )
    outcomes = verify_locations([item, missing])
    assert isinstance(outcomes["sales"], NotVerified)
    assert outcomes["sales"].reason.startswith("there is no working `python3.99` on PATH")
    assert isinstance(outcomes["other"], NotVerified)
    assert outcomes["other"].reason == "the deps PEX `deps.pex` is not on this machine"

    entry = {
        "name": "sales",
        "directory": str(tmp_path),
        "project": str(tmp_path),
        "code_source": {"module_name": "app"},
        "source": {"file": "source.pex"},
        "deps": {"file": "deps.pex", "sha256": "0" * 64},
    }
    report = {"workspace": str(tmp_path / "dagster_cloud.yaml"), "python_version": RUNNING, "locations": [entry]}
    (tmp_path / "build.json").write_text(json.dumps(report))
    command: list[str | Path] = [sys.executable, "-m", "builder.verify", tmp_path]
    environment = process.clean_environment({"PYTHONPATH": str(REPOSITORY)})
    finished = process.run(command, env=environment, check=False)
    assert finished.code == 3
    assert "warning: location `sales` was not verified: the deps PEX `deps.pex` is not on this" in finished.stderr
    assert "✓" not in finished.stderr

    report["locations"] = [entry, {**entry, "name": "broken", "error": {"what": "no such file", "remedy": None}}]
    (tmp_path / "build.json").write_text(json.dumps(report))
    finished = process.run(command, env=environment, check=False)
    assert finished.code == 1
    assert "error: location `broken`: it was not built\n  | no such file\n" in finished.stderr
    assert "✓" not in finished.stderr
