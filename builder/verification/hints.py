"""Explaining errors of the user's code: the cause and what to do, if they are certain."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from builder.project.dbt_manifest import PREPARE
from builder.system.tracebacks import CutTraceback, place
from builder.system.unset_variables import unset_variable
from builder.terminal.formatting import quoted
from builder.verification.code_source import missing_code_source, packed_module
from builder.verification.exclusion_reason import ExclusionRule, why_left_out
from builder.verification.explanation import Explanation, FailureContext
from builder.verification.hiding import hidden_by_project, hidden_from_dagster
from builder.verification.import_names import how_to_declare, provider_of
from builder.verification.incompatibilities import incompatible
from builder.verification.load import Raised
from builder.verification.native_libraries import how_to_get, missing_library

_SEVERAL: Final = re.compile(r"Found Definitions objects: (.+)")
_NOTHING: Final = "No Definitions, RepositoryDefinition"
_RELATIVE: Final = "attempted relative import with no known parent package"
_BUILT_IN: Final = "DAGSTER_CLOUD_"


def explain(raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation:
    """Explain an error; if its cause is not certain, give only the error's own message."""
    if explanation := hidden_by_project(raised, context):
        return explanation
    for hint in _HINTS:
        if explanation := hint(raised, cut, context):
            if raised.of_dagster:
                return replace(explanation, what=f"dagster itself cannot be imported: {explanation.what}")
            return explanation
    if explanation := hidden_from_dagster(raised, context):
        return explanation
    if raised.of_dagster:
        remedy = "Depend on another version of dagster, or of what the last of these lines is in; then build again"
        return Explanation(f"dagster itself cannot be imported: {cut.what}", remedy)
    return Explanation(f"its code does not load: {cut.what}", None)


def _missing_module(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    module = cut.root.attributes.get("module")
    if not module or cut.root.kind != "ModuleNotFoundError":
        return None
    if hint := _left_out_module(module, context):
        name, left = hint
        return Explanation(
            f"there is no module `{module}`: `{name}` is in the project, but {left.rule}", left.remedy
        )
    code = context.code
    asked = code.kind != "python_file" and f"{code.value}.".startswith(f"{module}.") and cut.where is None
    if asked:
        return missing_code_source(module, code, context.names, context.declared)
    if path := packed_module(module, context.packed):
        dotted = re.sub(r"(/__init__)?\.py$", "", path).replace("/", ".")
        return Explanation(f"there is no module `{module}`; the project has `{path}`", f"Import it as `{dotted}`")
    top = module.partition(".")[0]
    if top != module and (any((context.deps / top).glob("*.py")) or any((context.source / top).glob("*.py"))):
        return Explanation(
            f"the installed `{top}` has no module `{module}`", f"Depend on a version of `{top}` that has it"
        )
    provider = provider_of(module)
    project = context.project
    remedy = how_to_declare(provider.name, project, context.shown(project)) if project else None
    if remedy and not provider.certain:
        remedy = f"{remedy}, if that is the distribution which has the module"
    return Explanation(
        f"there is no module `{module}` among its dependencies", remedy and f"{remedy}; then build again"
    )


def _left_out_module(module: str, context: FailureContext) -> tuple[str, ExclusionRule] | None:
    if context.directory is None:
        return None
    path = module.replace(".", "/")
    for base in dict.fromkeys((context.code.working_directory or ".", ".", "src")):
        for name in (f"{path}.py", f"{path}/__init__.py"):
            full = os.path.normpath(f"{base}/{name}")
            if full not in context.packed and (left := why_left_out(context.directory, full)):
                return full, left
    return None


def _missing_file(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    path, written = (cut.root.attributes.get(key) for key in ("file", "file_as_written"))
    if not path or not written or context.directory is None:
        return None
    name = place(path, str(context.source))
    if name is None:
        return None
    if left := why_left_out(context.directory, name):
        return Explanation(f"`{name}` is in the project, but not in the build: {left.rule}", left.remedy)
    same = [other for other in context.packed if other.endswith(f"/{written}")]
    if len(same) == 1 and not (context.directory / name).exists():
        return Explanation(
            f"there is no `{written}` in the working directory, which is the build directory",
            f"The project has `{same[0]}`: write that path, or start from the code's own, `Path(__file__).parent`",
        )
    return None


def _missing_manifest(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    name = re.search(r"\S+manifest\.json", cut.what)
    if name is None or cut.root.kind != "DagsterDbtManifestNotFoundError":
        return None
    declaring = next((path for path, text in context.texts() if "DbtProject(" in text), None)
    command = f"{PREPARE} --file {declaring}" if declaring else f"{PREPARE} --components ."
    shown = place(name[0], str(context.source)) or name[0]
    return Explanation(f"dbt's `{shown}` is missing, and no server makes it", f"Run `{command}`; then build again")


def _missing_variable(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    name = unset_variable(
        cut,
        (text for _, text in context.texts()),
        is_set=lambda variable: variable in os.environ.keys() - context.variables,
    )
    if not name:
        return None
    if name in context.variables:
        what = f"its code needs the environment variable `{name}`, which is withheld from it as a secret"
        return Explanation(what, f"Pass it on to this check with --env {name}")
    what = f"its code needs the environment variable `{name}`, which is not set"
    if name.startswith(_BUILT_IN):
        return Explanation(what, f"The server sets it; for this check, give it with --env {name}=VALUE")
    return Explanation(
        what,
        f"For this check, give it with --env {name}=VALUE; for the server, set it in Dagster+ under Deployment,"
        " Environment variables",
    )


def _missing_library(_raised: Raised, cut: CutTraceback, _context: FailureContext) -> Explanation | None:
    library = missing_library(cut.root.message)
    if library is None:
        return None
    return Explanation(
        f"its code needs the native library `{library}`, which this machine lacks", how_to_get(library)
    )


def _syntax(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    if cut.root.kind not in {"SyntaxError", "IndentationError", "TabError"}:
        return None
    words = cut.what.removeprefix(f"{cut.root.kind}: ")
    return Explanation(
        f"its code is not valid Python {context.python_version}: {words}", "Correct the line; then build again"
    )


def _definitions(raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    message, code = cut.root.message, context.code
    if match := _SEVERAL.search(message):
        names = [name.rpartition(".")[2] for name in match[1].strip().split(", ")]
        return Explanation(
            f"`{code.value}` has {len(names)} Definitions objects ({quoted(names)}),"
            " and nothing says which to load",
            f"Make them one, such as `Definitions.merge({', '.join(names)})`, or name one in {context.file}:"
            f" attribute: {names[0]}",
            setting="code_source",
        )
    if code.attribute and re.search(rf"\b{re.escape(code.attribute)} not found ", message):
        remedy = f"Correct or remove `attribute: {code.attribute}` in {context.file}"
        if raised.loadable:
            remedy = f"Write `attribute: {raised.loadable[0]}` in {context.file}, or remove the line"
        return Explanation(f"`{code.value}` has no `{code.attribute}`", remedy, setting="attribute")
    if _NOTHING in message:
        return Explanation(
            f"`{code.value}` defines nothing that can be loaded",
            f"Write `defs = Definitions(...)` at its top level, or correct `{code.kind}` in {context.file}",
            setting="code_source",
        )
    return None


def _relative_import(_raised: Raised, cut: CutTraceback, context: FailureContext) -> Explanation | None:
    if _RELATIVE not in cut.root.message or context.code.kind != "python_file":
        return None
    module = context.code.value.removesuffix(".py").replace("/", ".")
    return Explanation(
        "a file that is loaded by its path cannot import relative to itself",
        f"Write `module_name: {module}` instead of `python_file: {context.code.value}` in {context.file}",
    )


_HINTS: Final[tuple[Callable[[Raised, CutTraceback, FailureContext], Explanation | None], ...]] = (
    lambda _raised, cut, context: incompatible(cut, context),
    _missing_module,
    _missing_manifest,
    _missing_library,
    _missing_file,
    _missing_variable,
    _syntax,
    _definitions,
    _relative_import,
)
