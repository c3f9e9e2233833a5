"""Finding the project's file that hides a module of Python or of a distribution, where that is certain."""

from __future__ import annotations

import posixpath
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from builder.system.tracebacks import RaisedError, chain, place
from builder.verification.explanation import Explanation, FailureContext
from builder.verification.load import Died, Raised

_LACKS: Final = (
    re.compile(
        r"cannot import name '(?P<name>\w+)' from (?P<partly>partially initialized module )?'(?P<module>[\w.]+)'"
    ),
    re.compile(r"(?P<partly>partially initialized )?module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'"),
    re.compile(r"No module named '(?P<module>[\w.]+)\.(?P<name>\w+)'(?P<partly>)"),
)
"""What Python says of a module that lacks something."""

_TRACED: Final = re.compile(r'(?m)^ +File "(?P<path>[^"]+)", line \d+')


def hidden_by_project(raised: Raised, context: FailureContext) -> Explanation | None:
    """Explain an error by a module that a file of the project hides; None if that is not certain."""
    own = _own(raised, context)
    name = _lacking(list(chain(raised.error))[-1], own, context, sure=raised.of_dagster) if own else None
    return _explanation(name, own[name], context) if name else None


def hidden_from_dagster(raised: Raised, context: FailureContext) -> Explanation | None:
    """Name a file of the project that was imported by dagster, which cannot have meant it; None if none was."""
    own = _own(raised, context) if raised.of_dagster else {}
    return _explanation(*list(own.items())[-1], context) if own else None


def hidden_at_start(died: Died, context: FailureContext) -> Explanation | None:
    """Explain the end of a process that failed before it could load anything; None for any other end."""
    traced = [match["path"] for match in _TRACED.finditer(died.output)]
    if died.frames or died.code != 1 or not traced:
        return None
    last = died.output.rstrip().rpartition("\n")[2]
    seen = _hiding(_traced(traced, context), context)
    own = _hiding(dict(_modules(context.packed, "")), context)
    name = _lacking(RaisedError(kind="", message=last), own, context, sure=True) or next(iter(seen), None)
    return _explanation(name, own[name], context) if name in own else None


def _own(raised: Raised, context: FailureContext) -> dict[str, str]:
    """The project's imported modules that hide others, in the order of import."""
    files = {name: place(path, str(context.source)) for name, path in raised.modules.items()}
    imported = {name: file for name, file in files.items() if file}
    traced = [frame.path for error in chain(raised.error) for frame in error.frames]
    return _hiding({**imported, **_traced(traced, context)}, context)


def _lacking(error: RaisedError, own: Mapping[str, str], context: FailureContext, *, sure: bool) -> str | None:
    """Which of the project's modules lacks what the one that it hides has.

    :param sure: whether nothing can have meant to import the project's module.
    """
    match = next((match for pattern in _LACKS if (match := pattern.search(error.message))), None)
    if match is None:
        return None
    name = match["module"].partition(".")[0]
    ours = bool(error.frames) and place(error.frames[-1].path, str(context.source)) is not None
    if name in own:
        return name if sure or not ours or _has(context, match["module"], match["name"]) else None
    traced = _traced([frame.path for frame in error.frames], context)
    if match["partly"] and (name in sys.stdlib_module_names or _installed(name, context)):
        return next((module for module in traced if module in own), None)
    return None


def _hiding(modules: Mapping[str, str], context: FailureContext) -> dict[str, str]:
    """The modules that are called like those of Python or of a distribution."""
    return {
        name: file
        for name, file in modules.items()
        if name in sys.stdlib_module_names or _installed(name, context)
    }


def _traced(paths: list[str], context: FailureContext) -> dict[str, str]:
    """The project's top-level modules among the files of a traceback."""
    files = [file for path in paths if (file := place(path, str(context.source)))]
    bases = dict.fromkeys(("", context.code.working_directory or ""))
    return {name: file for base in bases for name, file in _modules(files, base)}


def _modules(files: frozenset[str] | list[str], base: str) -> Iterator[tuple[str, str]]:
    """The modules that files are, at the top of a directory."""
    prefix = f"{posixpath.normpath(base)}/" if base else ""
    for file in files:
        stem = re.sub(r"(/__init__)?\.py$", "", file.removeprefix(prefix))
        if file.startswith(prefix) and file.endswith(".py") and stem.isidentifier():
            yield stem, file


def _installed(name: str, context: FailureContext) -> bool:
    return any(path.is_file() for path in _sources(context.deps, name))


def _has(context: FailureContext, module: str, name: str) -> bool:
    """Whether the hidden module defines a name, as far as its text tells, or has a submodule of it."""
    for directory in (Path(sysconfig.get_path("stdlib")), context.deps):
        if any(path.is_file() for path in _sources(directory, f"{module}.{name}")):
            return True
        for path in _sources(directory, module):
            if path.is_file() and re.search(rf"\b{name}\b", path.read_text(encoding="utf-8", errors="replace")):
                return True
    return False


def _sources(directory: Path, module: str) -> tuple[Path, Path]:
    path = directory / module.replace(".", "/")
    return path.with_suffix(".py"), path / "__init__.py"


def _explanation(name: str, file: str, context: FailureContext) -> Explanation:
    whose = "Python's own" if name in sys.stdlib_module_names else "the installed"
    shown = file.removesuffix("__init__.py")
    return Explanation(
        f"the project's `{shown}` hides {whose} module `{name}` from everything that imports it",
        f"Give `{shown}` another name, also where {context.file} or your code names it; then build again",
        file=file,
    )
