"""Local packages that tests build: their declarations, and a backend that reports what its build sees."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from builder.resolution.backend import LocalPackages
from tests.support.repositories import Repository

PYTHON = "3.11"
SETUPTOOLS = "setuptools.build_meta"
# Expressions for `probe`.
DESCRIBE = "git('describe', '--tags', '--dirty')"
STATUS = "git('status', '--porcelain')"

_BACKEND = """
import json, os, subprocess, zipfile
from pathlib import Path

def git(*arguments):
    finished = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return finished.stdout.strip() or finished.stderr.strip()

def around():
    top = Path("..").resolve()
    return sorted(path.relative_to(top).as_posix() for path in top.rglob("*") if ".git" not in path.parts)

def build_wheel(directory, config_settings=None, metadata_directory=None):
    answer = {PROBE}
    with zipfile.ZipFile(os.path.join(directory, "lib-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("answer.json", json.dumps(answer))
        wheel.writestr("lib-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: lib\\nVersion: 1.0\\n")
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("lib-1.0.dist-info/WHEEL", kind)
        wheel.writestr("lib-1.0.dist-info/RECORD", "")
    return "lib-1.0-py3-none-any.whl"
"""


def system(backend: str, *requires: str) -> str:
    """The `[build-system]` of a package."""
    names = ", ".join(f'"{name}"' for name in requires)
    return f'[build-system]\nrequires = [{names}]\nbuild-backend = "{backend}"\n'


def project(name: str, *, version: str | None = None) -> str:
    """The `[project]` of a package; its backend finds the version unless it is given."""
    line = f'version = "{version}"' if version else 'dynamic = ["version"]'
    return f'[project]\nname = "{name}"\n{line}\ndependencies = ["six"]\n'


def probe(directory: Path, expression: str) -> Path:
    """Create a package whose backend has no requirements and reports the value of a Python expression."""
    directory.mkdir(parents=True, exist_ok=True)
    table = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (directory / "pyproject.toml").write_text(table)
    (directory / "backend.py").write_text(_BACKEND.replace("{PROBE}", expression))
    return directory


def answer(package: Path, packages: LocalPackages | None = None) -> Any:  # noqa: ANN401
    """What the backend of `probe` reported when the package was built."""
    with zipfile.ZipFile((packages or LocalPackages(PYTHON)).wheel(package)) as wheel:
        return json.loads(wheel.read("answer.json"))


def commit_all(repository: Repository, tag: str) -> None:
    repository.git("add", "--all", "--force")
    repository.commit()
    repository.git("tag", tag)


def everything(root: Path) -> dict[Path, tuple[bytes, int]]:
    """The content and the time of each file in a tree."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in root.rglob("*") if path.is_file()}
