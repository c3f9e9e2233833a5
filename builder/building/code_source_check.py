"""Warnings about code sources whose module certainly does not exist, without running any code."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from builder.assembly.contents import PackedDistribution
from builder.assembly.source_tree import PATHS, ROOT
from builder.building.workspace import ProjectBuild
from builder.errors import Notice
from builder.project.location import CodeSource, Location
from builder.verification.code_source import missing_code_source

_HARMLESS: Final = frozenset({"distutils-precedence.pth"})
"""The .pth file of setuptools, which makes no other modules importable."""

_CUSTOM: Final = frozenset({"sitecustomize.py", "usercustomize.py"})
_FINDS_MODULES: Final = re.compile(rb"__path__|sys\.modules|sys\.path|meta_path|path_hooks|addsitedir")
"""Signs that code makes modules importable without a file on the path."""


def missing_module(location: Location, build: ProjectBuild) -> list[Notice]:
    """A warning of a location whose code source cannot be imported; none if it can be, or may be."""
    names = [file.name for file in build.source.contents]
    parts = location.code_source[1].split(".")
    if not names or not _is_plain(location, parts, names):
        return []
    packages = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    missing = next((number for number, path in enumerate(packages) if not _is_there(path, names)), None)
    if missing is None:
        return []
    directory = location.settings.get("working_directory")
    code = CodeSource(*location.code_source, working_directory=directory if isinstance(directory, str) else None)
    above = packages[:missing]
    own = bool(above) and all(_is_packed(path, names, code) for path in above)
    if not own and not _nowhere_else(parts[0], names, build.deps.distributions):
        return []
    if above and _finds_modules(above[0], names, location.tree.directory):
        return []
    explanation = missing_code_source(packages[missing].replace("/", "."), code, names, location.origin)
    where = location.lines.get(explanation.setting or "", location.origin)
    do = explanation.remedy or ""
    do = f" {do}" if explanation.what.endswith("?") else f"; {do[:1].lower()}{do[1:]}"
    return [Notice(f"location `{location.name}` will not load: {explanation.what}{do}", where)]


def _is_plain(location: Location, parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the location's code is imported by its module name, from the usual directories only."""
    settings = location.settings
    return (
        location.code_source[0] != "python_file"
        and all(part.isidentifier() for part in parts)
        and parts[0] not in sys.stdlib_module_names
        and not settings.get("executable_path")
        and "PYTHONPATH" not in str(settings)
        and not any(posixpath.basename(name) in _CUSTOM for name in names)
    )


def _is_there(path: str, names: Sequence[str]) -> bool:
    """Whether any file of the source PEX, in any directory, may be the module."""
    return any(f"/{path}." in f"/{name}" or f"/{path}/" in f"/{name}" for name in names)


def _is_packed(path: str, names: Collection[str], code: CodeSource) -> bool:
    """Whether it is a module or regular package of the project that no installed one hides."""
    files = (f"{path}/__init__.py", f"{path}.py")
    if PATHS in names:
        return any(
            name.startswith(f"{ROOT}/") and name.endswith(tuple(f"/{file}" for file in files)) for name in names
        )
    places = {ROOT, posixpath.normpath(f"{ROOT}/{code.working_directory or '.'}")}
    return any(f"{place}/{file}" in names for place in places for file in files)


def _nowhere_else(top: str, names: Sequence[str], distributions: Sequence[PackedDistribution]) -> bool:
    """Whether no distribution has the module, and no .pth file may lead to it."""
    installed = [name.partition("/")[0] for name in names]
    roots = [root for dist in distributions for root in dist.roots]
    paths = {name for name in (*installed, *roots) if name.endswith(".pth")} - {PATHS, *_HARMLESS}
    known = bool(distributions) and all(dist.roots for dist in distributions)
    return known and not paths and _CUSTOM.isdisjoint(roots) and top not in {root.split(".")[0] for root in roots}


def _finds_modules(package: str, names: Sequence[str], directory: Path) -> bool:
    """Whether a package may make further modules importable; also true if one of its files cannot be read."""
    files = [name for name in names if f"/{package}/" in f"/{name}" and name.endswith(".py")]
    for name in files:
        # What a build has installed from the project lies there too, and has the same content.
        inside = name.removeprefix(f"{ROOT}/")
        try:
            content = (directory / inside).read_bytes()
        except OSError:
            if not any(other.endswith(f"/{name}") for other in files):
                return True
            continue
        if _FINDS_MODULES.search(content):
            return True
    return False
