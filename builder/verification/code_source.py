"""Explaining that a location's code source names a module that does not exist."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from builder.assembly.source_tree import ROOT
from builder.errors import Origin
from builder.project.location import CodeSource
from builder.project.module_names import module_names, nearest_module
from builder.verification.explanation import Explanation, workspace_file


def missing_code_source(
    module: str, code: CodeSource, names: Iterable[str], declared: Origin | None
) -> Explanation:
    """Explain that a code source's module, or a package that it is in, is not there.

    :param module: the module that is missing.
    :param names: of the files in the source PEX.
    :param declared: where the location is declared.
    """
    names, file = list(names), workspace_file(declared)
    packed = [name.removeprefix(f"{ROOT}/") for name in names if name.startswith(f"{ROOT}/")]
    place = (
        f"`{code.working_directory}`, its working directory" if code.working_directory else "its build directory"
    )
    what = f"there is no module `{module}` in {place}"
    if path := packed_module(module, packed):
        base = re.sub(rf"/?{module.replace('.', '/')}(/__init__)?\.py$", "", path)
        remedy = f"It is in `{base or '.'}`: write `working_directory: {base or '.'}` in {file}"
        if not base:
            remedy = f"It is in the build directory: remove `working_directory` from {file}"
        return Explanation(what, remedy, setting="working_directory" if code.working_directory else "code_source")
    near = nearest_module(code.value, _importable(names, code))
    in_toml = declared is not None and declared.path.suffix == ".toml"
    remedy = f"Correct `{code.kind}: {code.value}` in {file}"
    if in_toml:
        # It may be written there as the name of a package only.
        remedy = f"Correct that line of {file}"
    elif near:
        remedy = f"Write `{code.kind}: {near}` in {file}"
    return Explanation(f"{what}; did you mean `{near}`?" if near else what, remedy, setting="code_source")


def packed_module(module: str, packed: Iterable[str]) -> str | None:
    """The project's file for a module, if exactly one file matches.

    :param packed: the names of the project's files.
    """
    path = module.replace(".", "/")
    ends = (f"/{path}.py", f"/{path}/__init__.py")
    names = [name for name in packed if f"/{name}".endswith(ends)]
    return names[0] if len(names) == 1 else None


def _importable(names: list[str], code: CodeSource) -> set[str]:
    """The modules of the source PEX that the code source can name."""
    installed = [name for name in names if not name.startswith(f"{ROOT.partition('/')[0]}/")]
    directories = dict.fromkeys(
        posixpath.normpath(f"{ROOT}/{directory}") for directory in (code.working_directory or ".", ".", "src")
    )
    modules = {module for directory in directories for module in module_names(names, directory)}
    return modules | set(module_names(installed, ""))
