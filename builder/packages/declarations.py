"""Reading the name, version and requirements that a project declares in pyproject.toml (PEP 621) or setup.py."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.packages.setup_py import SetupPy, read_setup_py
from builder.project.metadata import static_metadata
from builder.project.names import required_name
from builder.project.toml_file import TomlFile
from builder.resolution.backend import LocalPackages

LEGACY_BACKEND: Final = "setuptools.build_meta:__legacy__"
"""The default build backend of PEP 517."""

_COMPILING: Final = (
    *("cffi", "cython", "maturin", "meson-python", "nanobind", "pybind11", "scikit-build"),
    *("scikit-build-core", "setuptools-rust"),
)
"""Build requirements with which a package is compiled."""

_EXTENSIONS: Final = re.compile(r"\b(ext_modules|rust_extensions|cffi_modules)\s*=")
"""Arguments of `setup()` for code that is compiled."""

_VERSION_FILES: Final = ("version.py", "_version.py", "__about__.py", "__init__.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A project's metadata as its files declare it.

    :param name: as written.
    :param version: as written; None if the backend computes it, such as from a tag.
    :param manifest: pyproject.toml or setup.py.
    :param version_files: modules whose `__version__` must be the same version.
    :param requires: runtime requirements (PEP 508).
    :param extras: the requirements of its extras.
    :param build_requires: build requirements.
    :param native: whether it declares code that is compiled, so that each platform needs a wheel of its own.
    """

    name: str
    version: str | None
    manifest: Path
    backend: str
    classifiers: tuple[str, ...]
    version_files: tuple[Path, ...]
    requires: tuple[str, ...]
    extras: tuple[str, ...]
    build_requires: tuple[str, ...]
    native: bool


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A project whose metadata cannot be read without building it.

    :param reason: a sentence without a full stop.
    """

    reason: str


def read_declared(directory: Path) -> Declared | Undeclared | None:
    """Read the declarations of the project in a directory; None if its files only configure tools.

    Raises ProjectError or PackagesError, with the line, for invalid files; SdistBuildError if the backend is
    needed and fails.
    """
    pyproject = TomlFile.pyproject(directory)
    setup_py = directory / "setup.py"
    if "project" in pyproject.data:
        return _from_pyproject(directory, pyproject)
    if setup_py.is_file():
        return _from_setup_py(directory, pyproject)
    if "poetry" in pyproject.table("tool"):
        return Undeclared("pyproject.toml has `[tool.poetry]` and no `[project]`")
    return Undeclared("pyproject.toml has no `[project]`") if "build-system" in pyproject.data else None


def version_literal(text: str) -> tuple[ast.Constant, str] | None:
    """The literal that a module assigns to `__version__`, and its value; None if there is none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        named = any(isinstance(target, ast.Name) and target.id == "__version__" for target in targets)
        if named and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value, value.value
    return None


def _from_pyproject(directory: Path, pyproject: TomlFile) -> Declared | Undeclared:
    project = pyproject.table("project")
    backend, build_requires = _backend(pyproject)
    name = project.get("name")
    if not isinstance(name, str):
        return Undeclared("`[project]` of pyproject.toml has no name")
    if not ("build-system" in pyproject.data or (directory / "setup.py").is_file()):
        return Undeclared("pyproject.toml has no `[build-system]`, so nothing is to be built")
    static = static_metadata(pyproject)
    requires, extras = _split(static.requires if static else _ask_backend(directory))
    version = project.get("version")
    files = _version_files(directory, name, _named_in(pyproject))
    return Declared(
        name=name,
        version=version if isinstance(version, str) else _version_of(files),
        manifest=pyproject.path,
        backend=backend,
        classifiers=_texts(project.get("classifiers")),
        version_files=files,
        requires=requires,
        extras=extras,
        build_requires=build_requires,
        native=_is_native(directory, pyproject, build_requires),
    )


def _from_setup_py(directory: Path, pyproject: TomlFile) -> Declared | Undeclared:
    path = directory / "setup.py"
    setup: SetupPy = read_setup_py(path)
    if setup.name is None:
        return Undeclared("setup.py does not write out the package's name")
    backend, build_requires = _backend(pyproject)
    if setup.complete:
        requires, extras = setup.requires, setup.extras
    else:
        requires, extras = _split(_ask_backend(directory))
    files = _version_files(directory, setup.name, (text for text in setup.texts if text.endswith(".py")))
    return Declared(
        name=setup.name,
        version=setup.version or _version_of(files),
        manifest=path,
        backend=backend,
        classifiers=setup.classifiers,
        version_files=files,
        requires=requires,
        extras=extras,
        build_requires=build_requires,
        native=_is_native(directory, pyproject, build_requires),
    )


def _backend(pyproject: TomlFile) -> tuple[str, tuple[str, ...]]:
    system = pyproject.table("build-system")
    return str(system.get("build-backend", LEGACY_BACKEND)), _texts(system.get("requires"))


def _is_native(directory: Path, pyproject: TomlFile, build_requires: Iterable[str]) -> bool:
    if any(required_name(text) in _COMPILING for text in build_requires):
        return True
    setup_py = directory / "setup.py"
    arguments = setup_py.read_text(encoding="utf-8", errors="replace") if setup_py.is_file() else ""
    return "ext-modules" in pyproject.table("tool", "setuptools") or _EXTENSIONS.search(arguments) is not None


def _split(requires: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split `Requires-Dist` into requirements that always apply, and those of extras."""
    always: list[str] = []
    extras: list[str] = []
    for text in requires:
        (extras if re.search(r"\bextra\s*==", text) else always).append(text)
    return tuple(always), tuple(extras)


def _version_files(directory: Path, name: str, named: Iterable[str]) -> tuple[Path, ...]:
    """The modules that set the version: those named in the manifest, and those in the package's import directory.

    Other modules are ignored: vendored packages in the tree have versions of their own.
    """
    import_name = re.sub(r"[-_.]+", "_", name)
    own = (f"{place}{import_name}/{file}" for place in ("", "src/") for file in _VERSION_FILES)
    candidates = dict.fromkeys(directory / path for path in (*named, *own))
    return tuple(path for path in candidates if path.is_file() and _literal_of(path) is not None)


def _named_in(pyproject: TomlFile) -> Iterator[str]:
    """Files from which the backend reads the version, according to pyproject.toml."""
    path = pyproject.table("tool", "hatch", "version").get("path")
    if isinstance(path, str):
        yield path
    attribute = pyproject.table("tool", "setuptools", "dynamic", "version").get("attr")
    if isinstance(attribute, str):
        module = attribute.rpartition(".")[0].replace(".", "/")
        yield from (f"{place}{module}{ending}" for place in ("", "src/") for ending in (".py", "/__init__.py"))


def _version_of(files: Iterable[Path]) -> str | None:
    return next((_literal_of(path) for path in files), None)


def _literal_of(path: Path) -> str | None:
    version = version_literal(path.read_text(encoding="utf-8", errors="replace"))
    return version[1] if version else None


def _ask_backend(directory: Path) -> tuple[str, ...]:
    """Get dynamic requirements from the build backend."""
    python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return LocalPackages(python_version).metadata(directory).requires


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()
