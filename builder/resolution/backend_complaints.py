"""Complaints of build backends about the user's own package, with the file to create or the line to write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin
from builder.project.lines import line_of_text
from builder.project.names import required_name
from builder.project.toml_file import TomlFile
from builder.resolution.build_inputs import build_system
from builder.resolution.known_names import is_known, nearest_names

_NO_PACKAGE: Final = re.compile(
    r"Unable to determine which files to ship inside the wheel|No file/folder found for (?:module|package) (\S+)"
    r"|Expected a Python module at: `?(?:src/)?([\w./]+)/__init__\.py"
)
_NO_FILE: Final = re.compile(
    r"(?:Readme|License|Description) file (?:does not exist: |not found \(')?([^'()\n]+?)(?:'\)| does not exist|)$"
    r"|Readme path `([^`]+)` does not exist|failed to open file `([^`]+)`: No such file"
    r"|No files found for \[project\.license-files\]: '([^']+)'|license file glob pattern '([^']+)'"
    r"|must match at least one file: '([^']+)'|license-files` glob `([^`]+)` did not match"
    r"|FileNotFoundError: \[Errno 2\] No such file or directory: '([^']+)'"
    r"|from source `regex`: file does not exist: (\S+)",
    re.MULTILINE,
)
_FLAT: Final = re.compile(r"Multiple top-level (packages|modules) discovered in a flat-layout: (\[[^\]]*\])")
_NO_VERSION: Final = re.compile(
    r"unable to parse the version from the file: (\S+)|module '([\w.]+)' has no attribute '(\w*version\w*)'"
    r"|Cannot package module without a version string"
)
_NO_DOCSTRING: Final = re.compile(r"Flit cannot package module without docstring.*\((\S+?)\)")
_NO_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_NO_REQUIREMENT: Final = re.compile(r"([\w.-]+) was not found in the package registry")

_NO_TOML: Final = re.compile(r"TOML parse error at line (\d+), column \d+\n(?:.*\|.*\n)+(.+)")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a backend complains of: what is wrong, where, and what to do."""

    what: str
    where: Origin | None
    remedy: str


def read_complaint(output: str, directory: Path) -> Complaint | None:
    """Find in a backend's output what is wrong with the package in a directory; None if it is not known."""
    words = output.replace(f"{directory}/", "")
    return next((complaint for kind in _KINDS if (complaint := kind(words, directory))), None)


def _no_package(output: str, directory: Path) -> Complaint | None:
    match = _NO_PACKAGE.search(output)
    if match is None:
        return None
    manifest = TomlFile.pyproject(directory)
    own = str(manifest.table("project").get("name") or manifest.table("tool", "poetry").get("name") or "")
    wanted = next(filter(None, match.groups()), canonicalize_name(own).replace("-", "_"))
    where = line_of_text(own, manifest.path) if own else Origin(manifest.path)
    for place in (wanted, f"src/{wanted}"):
        if (directory / place).is_dir() and not (directory / place / "__init__.py").is_file():
            what = f"`{place}/` has no `__init__.py`, so its build does not take it for the package `{wanted}`"
            return Complaint(what, where, f"Make the file `{place}/__init__.py`; it may be empty")
    packages = sorted(_packages(directory))
    if not packages:
        what = f"there is no package `{wanted}`, which the name of the project promises"
        return Complaint(what, where, f"Make `{wanted}/__init__.py`, and put the code there")
    what = f"the build does not find the package `{wanted}`; there is `{packages[0]}/`"
    return Complaint(what, where, f"Name it in `pyproject.toml`: {_name_package(directory, packages[0])}")


def _packages(directory: Path) -> Iterator[str]:
    for pattern in ("*/__init__.py", "src/*/__init__.py"):
        yield from (path.parent.relative_to(directory).as_posix() for path in directory.glob(pattern))


def _name_package(directory: Path, path: str) -> str:
    """The lines that name a package for the backend of a project."""
    root, _, name = path.rpartition("/")
    backend = build_system(directory).backend.partition(".")[0]
    source = f', from = "{root}"' if root else ""
    return {
        "flit_core": f'`name = "{name}"` under `[tool.flit.module]`',
        "poetry": f'`packages = [{{ include = "{name}"{source} }}]` under `[tool.poetry]`',
        "uv_build": f'`module-name = "{name}"` and `module-root = "{root}"` under `[tool.uv.build-backend]`',
        "setuptools": f'`packages = ["{name}"]` under `[tool.setuptools]`',
    }.get(backend, f'`packages = ["{path}"]` under `[tool.hatch.build.targets.wheel]`')


def _no_file(output: str, directory: Path) -> Complaint | None:
    match = _NO_FILE.search(output)
    if match is None:
        return None
    path = str(match[match.lastindex or 0])
    for manifest in (directory / "pyproject.toml", directory / "setup.py", directory / "setup.cfg"):
        where = line_of_text(path, manifest)
        if where.line:
            what = f"`{manifest.name}` names `{path}`, which does not exist"
            return Complaint(what, where, f"Add the file `{path}`, or take it out of that line")
    return None


def _flat_layout(output: str, directory: Path) -> Complaint | None:
    match = _FLAT.search(output)
    if match is None:
        return None
    kind, names = match[1], match[2].replace("'", '"')
    key = "packages" if kind == "packages" else "py-modules"
    what = (
        f"setuptools does not choose between several {kind} beside each other: {names[1:-1].replace(chr(34), '`')}"
    )
    remedy = f"Name those to install: `{key} = {names}` under `[tool.setuptools]` in `pyproject.toml`"
    inside = (
        "; of packages inside them, `[tool.setuptools.packages.find]` with `include`" if key == "packages" else ""
    )
    return Complaint(what, Origin(directory / "pyproject.toml"), remedy + inside)


def _no_version(output: str, directory: Path) -> Complaint | None:
    match = _NO_VERSION.search(output)
    if match is None:
        return None
    module = (match[2] or "").replace(".", "/")
    places = [match[1]] if match[1] else [f"{module}/__init__.py", f"src/{module}/__init__.py", f"{module}.py"]
    path = next((place for place in places if (directory / place).is_file()), None)
    if path is None:
        return None
    what = f"`{path}` does not say the version, which `pyproject.toml` takes from it"
    remedy = f'Write `{match[3] or "__version__"} = "1.0"` in `{path}`, or `version = "1.0"` in place of `dynamic`'
    return Complaint(what, Origin(directory / path), remedy)


def _no_docstring(output: str, directory: Path) -> Complaint | None:
    match = _NO_DOCSTRING.search(output)
    if match is None:
        return None
    what = f"`{match[1]}` has no docstring, which flit takes as the description"
    remedy = f'Begin `{match[1]}` with a docstring, or write `description = "…"` under `[project]`'
    return Complaint(what, Origin(directory / match[1], 1), remedy)


def _no_module(output: str, directory: Path) -> Complaint | None:
    match = _NO_MODULE.search(output)
    if match is None:
        return None
    name, manifest = match[1].partition(".")[0], directory / "pyproject.toml"
    system = build_system(directory)
    if system.backend.partition(".")[0] == name:
        what = f"`build-backend` names a module `{name}`, which `requires` does not bring"
        brought = (_BACKENDS.get(required_name(text) or "") for text in system.requires)
        usual = next((f'Write `build-backend = "{backend}"`' for backend in brought if backend), None)
        remedy = f"{usual or 'Correct `build-backend`'}, or require what brings `{name}`"
        return Complaint(what, line_of_text("build-backend", manifest), remedy)
    where = line_of_text(f"import {name}", directory / "setup.py")
    what = f"the build imports `{name}`, which is not there while a package is built"
    remedy = f"Do without it in `{where.path.name}`" if where.line else "Do without it"
    requires = ", ".join(f'"{text}"' for text in (*system.requires, name if is_known(name) else "…"))
    remedy += f", or require what brings it: `requires = [{requires}]` under `[build-system]` in `pyproject.toml`"
    return Complaint(what, where if where.line else None, remedy)


def _no_requirement(output: str, directory: Path) -> Complaint | None:
    match = _NO_REQUIREMENT.search(output)
    if match is None:
        return None
    where = line_of_text(match[1], directory / "pyproject.toml")
    name = canonicalize_name(match[1])
    near = [] if is_known(name) else nearest_names(name)
    what = f"no index has a package `{match[1]}`, which the build requires"
    meant = (
        f"Did you mean `{near[0]}`? Write that"
        if near
        else "Correct the name, or the index that should have it (docs/indexes.md)"
    )
    return Complaint(what, where, f"{meant}: `requires` under `[build-system]`")


def _no_toml(output: str, directory: Path) -> Complaint | None:
    match = _NO_TOML.search(output)
    if match is None:
        return None
    what = f"line {match[1]} of `pyproject.toml` is not as the specification wants it: {match[2].strip()}"
    return Complaint(what, Origin(directory / "pyproject.toml", int(match[1])), "Correct that line")


_BACKENDS: Final = {
    "hatchling": "hatchling.build",
    "setuptools": "setuptools.build_meta",
    "flit-core": "flit_core.buildapi",
    "poetry-core": "poetry.core.masonry.api",
    "pdm-backend": "pdm.backend",
    "uv-build": "uv_build",
}
"""What `build-backend` is for what `requires` names, as the documents of the backends have it."""

_KINDS: Final[tuple[Callable[[str, Path], Complaint | None], ...]] = (
    *(_no_package, _no_file, _flat_layout, _no_version, _no_docstring, _no_module, _no_requirement, _no_toml),
)
