"""Ask a build backend for metadata, or for wheels of several packages (PEP 517). Runs under the target's Python.

Usage: backend_hook.py ORDER, a JSON file: `backend`, `path` (its `backend-path`) and `requires` (what is installed
for it), and, for wheels, `processes` (how many may run at once) and `jobs`, each with the directories `package`,
`out` and `temporary`. Without jobs the package is the working directory. The answer, JSON too, is written beside
ORDER, to `answer.json`: `{"needs": [...]}`, further requirements that the backend wants installed first;
`{"metadata": "…"}`, the text of METADATA; or `{"built": [...]}`, whether the wheel of each job is in its `out`.

It must run on every Python that a target may have, with only the backend installed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = "modules.json"


def main() -> None:
    """Call the backend's hooks and write what they give."""
    # setuptools puts other words into sys.argv.
    path = Path(sys.argv[1])
    order = json.loads(path.read_text(encoding="utf-8"))
    sys.path[:0] = [str(Path(entry).absolute()) for entry in order["path"]]
    module, _, attribute = order["backend"].partition(":")
    backend = importlib.import_module(module)
    for part in attribute.split(".") if attribute else ():
        backend = getattr(backend, part)
    if "jobs" in order:
        answer: dict[str, object] = {"built": wheels(backend, order)}
    else:
        needs = lacking(backend, order["requires"])
        answer = {"needs": needs} if needs else {"metadata": metadata(backend)}
    path.with_name("answer.json").write_text(json.dumps(answer), encoding="utf-8")


def lacking(backend: ModuleType, installed: list[str]) -> list[str]:
    """What else the backend wants installed to build the package in the working directory."""
    requires = getattr(backend, "get_requires_for_build_wheel", None)
    return [need for need in (requires(None) if requires else ()) if need not in installed]


def metadata(backend: ModuleType) -> str:
    """The text of METADATA, from the backend's metadata hook or, if it has none, from a wheel that it builds."""
    with tempfile.TemporaryDirectory() as directory:
        prepare = getattr(backend, "prepare_metadata_for_build_wheel", None)
        if prepare is not None:
            return Path(directory, prepare(directory, None), "METADATA").read_text(encoding="utf-8")
        with zipfile.ZipFile(Path(directory, backend.build_wheel(directory))) as wheel:
            (member,) = (
                name for name in wheel.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1
            )
            return wheel.read(member).decode("utf-8")


def wheels(backend: ModuleType, order: dict[str, Any]) -> list[bool]:
    """Build each package in processes that are forked when the backend is imported; which went well.

    The first one goes ahead: what it imported besides is imported before the others are forked.
    """
    jobs, requires = order["jobs"], order["requires"]
    built = [False] * len(jobs)
    running: dict[int, int] = {}

    def end_one() -> None:
        pid, status = os.wait()
        built[running.pop(pid)] = status == 0

    for number, job in enumerate(jobs):
        if len(running) == (1 if number == 1 else order["processes"]):
            end_one()
        if number == 1:
            import_what_is_named_in(Path(jobs[0]["temporary"], MODULES))
        running[fork(build, backend, job, requires)] = number
    while running:
        end_one()
    return built


def fork(work: Callable[..., object], *arguments: object) -> int:
    """Call something in a new process, whose exit code is 1 if that raises; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work(*arguments)
        code = 0
    except BaseException:  # noqa: BLE001  (SystemExit too: nothing else may go on in this process)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def build(backend: ModuleType, job: dict[str, str], installed: list[str]) -> None:
    """Build the wheel of one package; exits with 1 if the backend wants more to be installed for it."""
    os.chdir(job["package"])
    os.environ["TMPDIR"] = tempfile.tempdir = job["temporary"]
    # A process for each hook, as pip and uv have it.
    _, status = os.waitpid(fork(check, backend, installed), 0)
    if status:
        sys.exit(1)
    backend.build_wheel(job["out"])
    Path(job["temporary"], MODULES).write_text(json.dumps(list(sys.modules)), encoding="utf-8")


def check(backend: ModuleType, installed: list[str]) -> None:
    """Exit if the backend wants more to be installed."""
    if needs := lacking(backend, installed):
        sys.exit(f"the backend asks for {needs}")


def import_what_is_named_in(path: Path) -> None:
    """Import the modules that a build imported; that it ran no code of the package is known."""
    with contextlib.suppress(OSError):
        for name in json.loads(path.read_text(encoding="utf-8")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


if __name__ == "__main__":
    main()
