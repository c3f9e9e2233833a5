"""The report on a run: one table of all packages, why some failed, and which may be published, as JSON too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from builder.errors import PackagesError
from builder.packages.results import STEPS, State, Step, StepResult, read_results
from builder.system import storage
from builder.system.graph import reachable
from builder.terminal import github_log, markdown
from builder.terminal.console import console
from builder.terminal.formatting import counted

SCHEMA: Final = 1

_COLUMNS: Final = ("package", "version", "wheel", "check", "image", "pushed as")
_SHOWN: Final[Mapping[State, str]] = {"passed": "passed", "excused": "fails, excused", "failed": "FAILED"}
_LONGEST: Final = 1500
"""Characters of an error in the job's summary, which may have 1 MiB for all."""

_Results = Mapping[Step, StepResult]


def report(results_dir: Path, out: Path | None) -> None:
    """Show what became of each package; raises PackagesError if one failed."""
    results = read_results(results_dir)
    publishable = _publishable(results)
    if out is not None:
        packages = [_document(name, steps, publish=name in publishable) for name, steps in sorted(results.items())]
        with storage.atomic_write(out) as stream:
            stream.write(json.dumps({"schema": SCHEMA, "packages": packages}, indent=2).encode() + b"\n")
    rows = [[name, *_cells(steps)] for name, steps in sorted(results.items())]
    console.table(_COLUMNS, rows)
    troubled = [result for _name, steps in sorted(results.items()) for result in _in_order(steps) if result.why]
    for result in troubled:
        console.note(f"  {result.package}, {result.step}: {_error_text(result)}")
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        notice = github_log.append_summary(Path(summary), _markdown(rows, troubled))
        console.notices([notice] if notice else [])
    if failed := [name for name, steps in sorted(results.items()) if _state(steps) == "failed"]:
        raise PackagesError(f"{len(failed)} of {counted(len(results), 'package')} failed: {', '.join(failed)}")


def _publishable(results: Mapping[str, _Results]) -> set[str]:
    """The packages that passed and what they need, unless something that they need cannot be published."""
    needs = {name: _texts(steps, "build", "requires") for name, steps in results.items()}
    needed_by: dict[str, list[str]] = {}
    for name, siblings in needs.items():
        for sibling in siblings:
            needed_by.setdefault(sibling, []).append(name)
    unfit = {name for name, steps in results.items() if not _is_fit(steps)} | (needed_by.keys() - results.keys())
    chosen = [name for name, steps in results.items() if _passed(steps, "check")]
    return reachable(chosen, needs) - reachable(unfit, needed_by)


def _is_fit(steps: _Results) -> bool:
    # Packages that only others need are not checked: they were installed when those were.
    built = steps.get("build")
    # PyPI takes no wheel for just any Linux.
    if any("-linux_" in wheel for wheel in _wheels(steps)):
        return False
    return built is not None and _state(steps) == "passed" and not built.facts.get("unpublished")


def _document(name: str, steps: _Results, *, publish: bool) -> dict[str, Any]:
    return {
        "name": name,
        "version": _version(steps),
        "wheels": _wheels(steps),
        "state": _state(steps),
        "publish": publish,
        "steps": {
            result.step: {"state": result.state, "why": result.why, "excuse": result.excuse, **result.facts}
            for result in _in_order(steps)
        },
    }


def _cells(steps: _Results) -> list[str]:
    """The cells of a package's row behind its name."""
    checked, image, pushed = steps.get("check"), steps.get("image"), steps.get("push")
    unlocked = next((steps[step] for step in ("build", "lock") if step in steps and steps[step].why), None)
    return [
        _version(steps),
        _SHOWN[unlocked.state] if unlocked else ", ".join(_wheels(steps)),
        _SHOWN[checked.state] if checked else "-",
        "-" if image is None else str(image.facts.get("digest", _SHOWN[image.state])),
        "-" if pushed is None else ", ".join(_texts(steps, "push", "tags")) or _SHOWN[pushed.state],
    ]


def _markdown(rows: Iterable[Iterable[str]], troubled: Iterable[StepResult]) -> str:
    lines = [markdown.row(_COLUMNS), markdown.row(["---"] * len(_COLUMNS))]
    lines += [markdown.row(markdown.code(cell) if cell != "-" else "" for cell in row) for row in rows]
    for result in troubled:
        lines += ["", f"{markdown.code(result.package)}, {result.step}:", ""]
        lines.append(markdown.block(markdown.shortened(_error_text(result), _LONGEST)))
    return "\n".join(lines)


def _error_text(result: StepResult) -> str:
    return f"{result.why}\n(does not count, {result.excuse})" if result.excuse else result.why or ""


def _in_order(steps: _Results) -> list[StepResult]:
    return [steps[step] for step in STEPS if step in steps]


def _state(steps: _Results) -> State:
    states = {result.state for result in steps.values()}
    return "failed" if "failed" in states else "excused" if "excused" in states else "passed"


def _passed(steps: _Results, step: Step) -> bool:
    return step in steps and steps[step].state == "passed"


def _version(steps: _Results) -> str:
    return str(steps["build"].facts.get("version") or "?") if "build" in steps else "?"


def _wheels(steps: _Results) -> list[str]:
    # The lock is of all platforms, the build of one.
    return _texts(steps, "lock", "wheels") or _texts(steps, "build", "wheels")


def _texts(steps: _Results, step: Step, fact: str) -> list[str]:
    value = steps[step].facts.get(fact) if step in steps else None
    return [str(text) for text in value] if isinstance(value, list | tuple) else []
