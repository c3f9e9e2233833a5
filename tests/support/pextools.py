"""The programs at the receiving end: `pex-tools` of the versions that a server may run, each in its own venv."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from builder.resolution.pythons import find_python
from builder.system import process, storage

REPOSITORY = Path(__file__).parents[2]

READERS = ("2.1.132", "2.1.154", "2.20.0", "2.59.5")
"""The oldest that a server may run, the first that reads wheel files, one in between, and the newest."""

READER_PYTHON = "3.11"
"""pex 2.1.132 does not run on a newer one."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One version of pex, installed.

    :param venv: the virtual environment that holds it.
    """

    version: str
    venv: Path

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    def unpack(self, pex: Path, destination: Path) -> None:
        """Make a venv of a PEX file, as the server does but for `--pip`, with a cache directory of its own."""
        with storage.scratch_directory() as pex_root:
            run(
                [
                    self.venv / "bin/pex-tools",
                    pex,
                    "venv",
                    "--collisions-ok",
                    "--non-hermetic-scripts",
                    destination,
                ],
                extra_environment={"PEX_ROOT": str(pex_root)},
            )


@functools.cache
def reader(version: str, cache: Path) -> Reader:
    """Install pex `version` below `cache`, once for all test runs that share the directory."""
    venv = cache / f"pex-{version}-python{READER_PYTHON}"
    complete = venv / "complete"
    with storage.exclusive(venv.with_suffix(".lock")):
        if not complete.exists():
            shutil.rmtree(venv, ignore_errors=True)
            run([find_python(READER_PYTHON), "-m", "venv", "--without-pip", venv])
            pip(["--python", venv / "bin/python", "install", "--no-deps", f"pex=={version}"])
            complete.touch()
    return Reader(version, venv)


def pip(arguments: list[str | Path]) -> None:
    run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments])


def run(
    argv: list[str | Path], *, cwd: Path | None = None, extra_environment: dict[str, str] | None = None
) -> str:
    """Run a program without the caller's Python variables; returns its stdout, fails with all that it said."""
    finished = subprocess.run(
        argv,
        env=process.clean_environment(extra_environment),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, f"{argv} failed with {finished.returncode}:\n{finished.stdout}"
    return finished.stdout


def site_packages(venv: Path) -> Path:
    (found,) = (venv / "lib").glob("python*/site-packages")
    return found


Tree = dict[str, tuple[str, bytes]]


def tree(root: Path) -> Tree:
    """Everything below `root` by name: kind (a program has the exec bit), content or target; no bytecode."""
    found: Tree = {}
    for directory, subdirectories, files in os.walk(root):
        for name in [*subdirectories, *files]:
            path = Path(directory, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = ("link", os.fsencode(path.readlink()))
            elif path.is_dir():
                found[relative] = ("directory", b"")
            else:
                found[relative] = ("program" if os.access(path, os.X_OK) else "file", path.read_bytes())
    return {name: entry for name, entry in found.items() if not name.endswith((".pyc", "__pycache__"))}
