"""What the benches have in common: running a program, caches of its own, and tables for bench/README.md."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
README = Path(__file__).with_name("README.md")

Argv = Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program and those that it started took.

    :param seconds: until it ended.
    :param cpu: seconds of processor time, of all of them.
    :param memory: of the largest one at its peak, in bytes.
    """

    seconds: float
    cpu: float
    memory: int


def run(argv: Argv, directory: Path, env: Mapping[str, str], *, timeout: int = 0) -> Usage:
    """Run a program to its end; exits with its output if it fails, or takes more than `timeout` seconds."""
    with tempfile.TemporaryFile() as output:
        code, usage = measure(argv, directory, env, output, timeout=timeout)
        if code:
            output.seek(0)
            sys.exit(f"{argv}: exit code {code}\n{output.read().decode(errors='replace')}")
    return usage


def measure(
    argv: Argv, directory: Path, env: Mapping[str, str], output: IO[bytes], *, timeout: int = 0
) -> tuple[int, Usage]:
    """Run a program to its end: its exit code, and what it took.

    :param output: for what it writes to stdout and stderr.
    :param timeout: seconds after which it is killed; 0 for never.
    """
    with tempfile.NamedTemporaryFile() as file:
        helper: list[str | Path] = [sys.executable, "-I", "-S", Path(__file__).with_name("usage_of.py"), file.name]
        subprocess.run(
            [*helper, str(timeout), *argv], env=env, cwd=directory, stdout=output, stderr=output, check=True
        )
        code, seconds, cpu, memory = json.load(file)
    return code, Usage(seconds, cpu, memory)


def environment(root: Path) -> dict[str, str]:
    """The caller's environment, with the home directory and every cache below `root`; byte code is kept."""
    names = (
        "UV_CACHE_DIR",
        "PIP_CACHE_DIR",
        "PEX_ROOT",
        "XDG_CACHE_HOME",
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
    )
    kept = {name: value for name, value in os.environ.items() if name not in names}
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return {**kept, "PATH": path, "HOME": str(root), "BUILDER_CACHE_DIR": str(root / "cache")}


def workspace(directory: Path, count: int) -> list[Path]:
    """Copies of the quickstart in one `dagster_cloud.yaml`, each with a package of its own; returns them."""
    entries, projects = [], []
    for number in range(count):
        project = Path(shutil.copytree(QUICKSTART, directory / f"project{number}"))
        manifest = project / "pyproject.toml"
        text = manifest.read_text(encoding="utf-8")
        text = text.replace('name = "quickstart"', f'name = "quickstart{number}"')
        packages = '\n[tool.hatch.build.targets.wheel]\npackages = ["quickstart"]\n'
        manifest.write_text(text + packages, encoding="utf-8")
        entries.append(
            f"  - location_name: l{number}\n    code_source: {{module_name: quickstart.definitions}}\n"
            f"    build: {{directory: project{number}}}\n"
        )
        projects.append(project)
    (directory / "dagster_cloud.yaml").write_text("locations:\n" + "".join(entries), encoding="utf-8")
    return projects


def edit(project: Path, count: int) -> None:
    """Change one source file of a copy of the quickstart, for each count differently."""
    with (project / "quickstart" / "assets.py").open("a", encoding="utf-8") as stream:
        stream.write(f"\n# change {count}\n")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; all columns but the first are numbers."""
    head, *others = rows
    return "\n".join(map(_line, [head, ["---"] + ["---:"] * (len(head) - 1), *others]))


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def machine(load_before: float) -> str:
    """Where and when something was measured, and what else the machine had to do."""
    parts = [f"{os.cpu_count()} cores", f"{platform.system()} {platform.machine()}"]
    parts += [f"Python {platform.python_version()}", time.strftime("%Y-%m-%d")]
    return f"{', '.join(parts)}; load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"


def publish(name: str, table: str, about: str, *, write: bool) -> None:
    """Print a table, and put it into bench/README.md in place of the one between the marks of this name."""
    text = f"{about}\n\n{table}"
    print(text)
    if write:
        marks = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(marks[0]) + ".*?" + re.escape(marks[1]), re.DOTALL)
        document, found = pattern.subn(
            lambda _: f"{marks[0]}\n{text}\n\n{marks[1]}", README.read_text(encoding="utf-8")
        )
        if not found:
            sys.exit(f"{README} has no marks for `{name}`")
        README.write_text(document, encoding="utf-8")


def repeat_in_readme(table: str) -> None:
    """Bring the figures that the README of the project shows, in rows of the same names, up to date."""
    rows = {name: cells for name, *cells in map(_cells, table.splitlines())}
    path = REPOSITORY / "README.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        name, *cells = _cells(line)
        known = rows.get(name.partition(":")[0], [])
        if line.startswith("| ") and known and any(re.match(r"[\d.]+ s\b", cell) for cell in cells):
            lines[number] = _line([name, *known[: len(cells)]])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
