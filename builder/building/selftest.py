"""What `builder.selftest` does: starting everything that the builder relies on, and building a small PEX."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from builder.assembly.archive import ArchiveWriter, stored
from builder.assembly.bootstrap import PEX_VERSION
from builder.assembly.deps_pex import assemble_deps_pex
from builder.assembly.wheels import WheelFile
from builder.building.latest import latest
from builder.cache.entries import contents
from builder.errors import BuilderError, ToolError, UsageError
from builder.resolution import uv
from builder.resolution.pythons import works
from builder.resolution.target import PYTHON_VERSIONS
from builder.system import process, storage
from builder.terminal.console import console
from builder.terminal.formatting import size

_TIMEOUT_SECONDS: Final = 120
# What `pythonX.Y` on PATH can be. Where a project has a setup.py, or a distribution no wheel, it has to work.
_WORKING: Final = "working"
_BROKEN: Final = "on PATH, but not working"
_ABSENT: Final = "not on PATH"
_SAMPLE: Final = "builder_selftest_sample"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check.

    :param text: what was seen, or what is wrong.
    :param remedy: what to do about it; empty where all is well.
    """

    name: str
    ok: bool
    text: str
    remedy: str = ""


def selftest(*, offline: bool, online: bool, as_json: bool) -> int:
    """Run all checks and show them; returns 1 if anything does not work, else 0. Raises UsageError."""
    if offline and online:
        raise UsageError("--offline and --online exclude each other", remedy="Leave out one of them")
    probes: dict[str, Callable[[], str]] = {
        "builder": lambda: f"{_version('builder')} in {_location()}",
        "python": _python,
        "pex": _pex,
        "uv": _uv,
        "dagster": lambda: _version("dagster"),
        "dagster-cloud-cli": lambda: _version("dagster_cloud_cli.entrypoint"),
        "targets": _targets,
        "cache": _cache,
        "index": _index,
        "build": _build,
    }
    if offline:
        del probes["index"]
    if online:
        probes["latest"] = latest
    with ThreadPoolExecutor() as pool, console.progress("checking", None):
        jobs = [pool.submit(_check, name, probe) for name, probe in probes.items()]
        checks = []
        for job in jobs:
            checks.append(job.result())
            if not as_json:
                _show(checks[-1])
    if as_json:
        console.result(json.dumps([asdict(check) for check in checks], indent=2))
    return 0 if all(check.ok for check in checks) else 1


def _check(name: str, probe: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(name, ok=True, text=probe())
    except BuilderError as error:
        # The last line of a program's output usually says why it failed.
        detail = f": {error.detail.strip().splitlines()[-1].strip()}" if error.detail else ""
        remedy = error.remedy or f"Fetch builder.pex again and remove `{storage.cache_directory()}`"
        return CheckResult(name, ok=False, text=f"{error.what}{detail}", remedy=remedy)


def _show(check: CheckResult) -> None:
    console.result(f"{'✓' if check.ok else '✗'} {check.name}: {check.text}")
    if check.remedy:
        console.result(f"  hint: {check.remedy}")


def _version(module: str) -> str:
    """The last word that a module prints for `--version`, started as a user would start it."""
    if pex := os.environ.get("BUILDER_PEX"):
        command = [sys.executable, pex, "-m", module, "--version"]
        finished = process.run(command, env=process.clean_environment(), timeout=_TIMEOUT_SECONDS)
    else:
        finished = process.run_module(module, ["--version"], env=process.clean_environment())
    output = finished.stdout.split()
    if not output:
        raise ToolError(f"`{module} --version` prints nothing")
    return output[-1]


def _location() -> str:
    return os.environ.get("BUILDER_PEX") or str(Path(__file__).parents[2])


def _python() -> str:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{version} on {platform.system()} {platform.machine()} at {sys.executable}"


def _pex() -> str:
    version = _version("pex")
    if version != PEX_VERSION:
        raise ToolError(f"it is {version}, and only {PEX_VERSION} makes files that every server can read")
    return version


def _uv() -> str:
    version = uv.run(["--version"], timeout=_TIMEOUT_SECONDS).stdout.removeprefix("uv ").partition(" ")[0].strip()
    return f"{version} at {uv.executable()}"


def _targets() -> str:
    def state(version: str) -> str:
        named = [Path(directory, f"python{version}") for directory in os.get_exec_path()]
        named = [path for path in named if os.access(path, os.X_OK)]
        if any(works(path, version) for path in named):
            return _WORKING
        return _BROKEN if named else _ABSENT

    with ThreadPoolExecutor() as pool:
        states = list(zip(PYTHON_VERSIONS, pool.map(state, PYTHON_VERSIONS), strict=True))
    groups = {
        one: [version for version, state_of_version in states if state_of_version == one]
        for one in (_WORKING, _BROKEN, _ABSENT)
    }
    return "; ".join(f"{one}: {', '.join(group)}" for one, group in groups.items() if group)


def _cache() -> str:
    directory = storage.cache_directory()
    with storage.scratch_directory(directory) as scratch, storage.atomic_write(scratch / "probe") as stream:
        stream.write(b"x" * (1 << 20))
    kinds = contents()
    sizes = ", ".join(f"{kind.title} {size(kind.size)}" for kind in kinds if kind.size)
    held = f"it holds {size(sum(kind.size for kind in kinds))}" + (f": {sizes}" if sizes else "")
    return f"`{directory}` is writable, {size(shutil.disk_usage(directory).free)} free; {held}"


def _index() -> str:
    with storage.scratch_directory() as scratch:
        asked = scratch / "requirements.in"
        # Every project needs it, so even an index that holds little has it.
        asked.write_text("dagster\n", encoding="utf-8")
        options = ["--python", sys.executable, "--no-deps", "--refresh", "--quiet"]
        started = time.monotonic()
        try:
            uv.run(["pip", "compile", asked, *options], cwd=scratch, timeout=_TIMEOUT_SECONDS)
        except process.ProcessFailed as error:
            raise ToolError(
                "the package index does not answer",
                detail=error.detail,
                remedy="Check the network, the proxy and the index settings (UV_DEFAULT_INDEX), or use --offline",
            ) from error
    return f"answers in {time.monotonic() - started:.1f} s"


def _build() -> str:
    with storage.scratch_directory() as scratch:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        wheel = _sample_wheel(scratch)
        assembled = assemble_deps_pex([wheel], identity="selftest", python_version=version, out_dir=scratch)
        environment = process.clean_environment({"PEX_ROOT": str(scratch / "pex-root")})
        unpacked = scratch / "venv"
        process.run_module("pex.tools", [assembled.artefact.path, "venv", unpacked], env=environment)
        command: list[str | Path] = [
            unpacked / "bin" / "python",
            "-c",
            f"import {_SAMPLE}; print({_SAMPLE}.ANSWER)",
        ]
        answer = process.run(command, env=process.clean_environment(), timeout=_TIMEOUT_SECONDS).stdout.strip()
        if answer != "42":
            raise ToolError(f"the package in the PEX answered `{answer}` instead of `42`")
    return "a PEX of one package was built, unpacked and imported"


def _sample_wheel(directory: Path) -> WheelFile:
    """A wheel that holds one module with one number in it."""
    info = f"{_SAMPLE}-1.0.dist-info"
    files = {
        f"{_SAMPLE}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {_SAMPLE}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: builder\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    path = directory / f"{_SAMPLE}-1.0-py3-none-any.whl"
    with storage.atomic_write(path) as stream:
        writer = ArchiveWriter(stream)
        for name, text in files.items():
            writer.add(stored(name, text.encode()))
        _size, sha256 = writer.finish()
    return WheelFile(path, sha256)
