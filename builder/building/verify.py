"""What `builder.verify` does: loading what was built, for people or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from builder.building.built_locations import built_locations
from builder.errors import LoadError, UsageError
from builder.project.workspace import read_workspace
from builder.terminal import values
from builder.terminal.console import console
from builder.terminal.formatting import counted
from builder.verification.compatibility import python_version_of
from builder.verification.outcome_table import show_outcome
from builder.verification.verify import ToVerify, Verified, VerifyResult, to_verify, verify_locations

NOT_VERIFIED: Final = 3
"""Exit code if nothing failed, but something could not be loaded on this machine."""


def verify_built(
    out_dir: Path | None,
    names: Sequence[str],
    *,
    source: Path | None,
    deps: Path | None,
    workspace: Path | None,
    variables: Sequence[str],
    timeout: float,
    as_json: bool,
) -> int:
    """Load the locations of `out_dir`, or of the three files; returns the exit code."""
    environment = values.read_variables(variables)
    if out_dir is not None and not (source or deps or workspace):
        items, outcomes = built_locations(out_dir, names)
    elif out_dir is None and source and deps and workspace:
        items, outcomes = [_of_files(source, deps, workspace, names)], {}
    else:
        raise UsageError("give either OUT_DIR, or --source, --deps and --workspace")
    with console.step("") as step, console.progress(f"loading {counted(len(items), 'location')}", None):
        outcomes |= verify_locations(items, timeout=timeout, environment=environment)
        failed = any(isinstance(outcome, LoadError) for outcome in outcomes.values())
        loaded = sum(isinstance(outcome, Verified) for outcome in outcomes.values())
        step.title = f"loaded {counted(loaded, 'location')}" if loaded and not failed else ""
    if as_json:
        console.result(json.dumps({name: _report(outcome) for name, outcome in outcomes.items()}, indent=2))
    else:
        for name, outcome in outcomes.items():
            show_outcome(name, outcome, as_result=True)
    if failed:
        return 1
    return 0 if loaded == len(outcomes) else NOT_VERIFIED


def _of_files(source: Path, deps: Path, workspace: Path, names: Sequence[str]) -> ToVerify:
    locations = read_workspace(workspace).select(names).locations
    if len(locations) != 1:
        raise UsageError(
            f"`{workspace}` has {len(locations)} locations, and the PEX files are of one",
            remedy=f"Choose it with --location: {', '.join(location.name for location in locations)}",
        )
    version = python_version_of(source)
    if version is None:
        raise LoadError(f"`{source}` does not say for which Python it is", remedy="Build it with builder.source")
    return to_verify(locations[0], source.absolute(), deps.absolute(), version)


def _report(outcome: VerifyResult) -> dict[str, object]:
    if isinstance(outcome, Verified):
        return {
            "state": "verified",
            **asdict(outcome.definitions),
            "warnings": [notice.text for notice in outcome.warnings],
            "dagster_version": outcome.dagster_version,
            "seconds": round(outcome.seconds, 3),
        }
    if isinstance(outcome, LoadError):
        where = str(outcome.where) if outcome.where else None
        error = {"what": outcome.what, "where": where, "detail": outcome.detail, "remedy": outcome.remedy}
        return {"state": "failed", "error": error}
    return {"state": "not verified", "reason": outcome.reason, "remedy": outcome.remedy}
