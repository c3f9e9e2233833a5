"""Calling the hooks of a build backend (PEP 517) in an environment that uv makes of its requirements.

Wheels of several packages are built together where their builds are known to read nothing but the files of each,
and to run no code of theirs: the environment is made once and the backend imported once, then a process is forked
for each package, with a copy of the package for itself. What cannot be built so, or fails, is for `uv build` to
build, whose errors are what the user reads.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from builder.project.files import Selection
from builder.project.sources import workspace_root
from builder.project.toml_file import TomlFile
from builder.resolution import uv
from builder.resolution.build_inputs import BuildSystem, Inputs, build_system, inputs_of
from builder.resolution.build_tree import BuildTree, lay_out
from builder.resolution.built_wheel import TIME_LIMIT, canonical_wheel
from builder.resolution.indexes import Indexes
from builder.resolution.resolution_cache import is_configured
from builder.system import storage
from builder.system.git import find_repository

PYTHON: Final = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

_TOGETHER: Final = {
    *("flit-core", "hatch-fancy-pypi-readme", "hatch-requirements-txt", "hatchling", "packaging", "pdm-backend"),
    *("poetry-core", "setuptools", "tomli", "wheel"),
}
"""Build requirements that are pure Python, and may be imported before the process is forked."""


def confined(scratch: Path) -> dict[str, str]:
    """Variables that keep leftovers in the scratch directory, and git from looking for a repository above it."""
    return {"GIT_CEILING_DIRECTORIES": str(scratch.parent), "TMPDIR": str(scratch)}


def ask(
    system: BuildSystem, order: Mapping[str, object], python: Path, indexes: Indexes, scratch: Path, cwd: Path
) -> Mapping[str, Any]:
    """Give the build backend an order of `backend_hook.py`, and return its answer.

    :param python: the interpreter that runs it.
    :param scratch: where the order is written, and what uv needs.
    :param cwd: the working directory.

    Raises process.ProcessFailed with the backend's output.
    """
    hook = resources.files("builder.resolution") / "backend_hook.py"
    script, written = scratch / "backend_hook.py", scratch / "order.json"
    script.write_text(hook.read_text(encoding="utf-8"), encoding="utf-8")
    parts = {"backend": system.backend, "path": system.path, "requires": system.requires}
    written.write_text(json.dumps({**parts, **order}), encoding="utf-8")
    arguments: list[str | Path] = ["run", "--no-project", "--isolated", "--no-python-downloads", "--quiet"]
    arguments += ["--python", python]
    for need in system.requires:
        arguments += ["--with", need]
    env = {**indexes.variables_outside(scratch), **PYTHON, **confined(scratch)}
    uv.run([*arguments, "python", script, written], cwd=cwd, extra_env=env, timeout=TIME_LIMIT)
    answer: Mapping[str, Any] = json.loads(script.with_name("answer.json").read_text(encoding="utf-8"))
    return answer


def shared_system(directory: Path) -> BuildSystem | None:
    """The build system of a package that can be built together with others; None if it cannot.

    What uv would read of the project for its build environment must not differ, either.
    """
    system = build_system(directory)
    names = {re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", text.strip())[0]).lower() for text in system.requires}
    roots = {directory, workspace_root(directory) or directory}
    sourced = any(not names.isdisjoint(TomlFile.pyproject(root).table("tool", "uv", "sources")) for root in roots)
    # poetry-core asks git which files are ignored.
    asks_git = system.backend.startswith("poetry") and find_repository(directory) is not None
    if not names <= _TOGETHER or sourced or asks_git or is_configured(directory):
        return None
    return system if inputs_of(directory) is Inputs.FILES else None


def build_together(
    system: BuildSystem,
    selections: Mapping[Path, Selection],
    python: Path,
    indexes: Indexes,
    out_dir: Path | None,
) -> dict[Path, tuple[str, bytes]]:
    """Build wheels of packages that have `shared_system` in common.

    :param selections: the files of each package, by its directory.
    :param out_dir: the output directory for artefacts, which is left out of their surroundings.

    Returns the file name and the bytes of those wheels that could be built. Raises ToolError if nothing could.
    """
    with storage.scratch_directory() as scratch:
        trees: dict[Path, BuildTree] = {}
        jobs = []
        for number, (directory, selection) in enumerate(selections.items()):
            place = scratch / str(number)
            trees[directory] = lay_out(directory, selection, place, out_dir, alone=True)
            parts = {name: storage.make_directory(place / name) for name in ("out", "temporary")}
            jobs.append({name: str(path) for name, path in {"package": trees[directory].package, **parts}.items()})
        order = {"jobs": jobs, "processes": os.cpu_count() or 1}
        built = ask(system, order, python, indexes, scratch, scratch)["built"]
        wheels = {}
        for job, (directory, tree), whole in zip(jobs, trees.items(), built, strict=True):
            for wheel in Path(job["out"]).glob("*.whl") if whole else ():
                wheels[directory] = (wheel.name, canonical_wheel(wheel, replace=tree.placeholders))
    return wheels
