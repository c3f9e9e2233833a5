"""`python -m builder.verify OUT_DIR`: load what was built as the receiving server will."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from builder.building.built import built_locations
from builder.errors import LoadError, UsageError
from builder.terminal import options
from builder.terminal.command_line import BuilderCommand, option
from builder.terminal.console import console
from builder.terminal.running import run_command, verbosity_options
from builder.verification.outcome_table import show_outcome

if TYPE_CHECKING:
    from builder.project.location import Location
    from builder.verification.verify import Outcome, ToVerify

NOT_VERIFIED: Final = 3
"""Exit code if nothing failed, but something could not be loaded on this machine."""


_WHAT: Final = "What to load"
_HOW: Final = "How to load it"


@click.command(
    cls=BuilderCommand,
    short_help="Load what was built as the server will.",
    examples=(
        "builder.verify out",
        "builder.verify out --location etl --env API_KEY",
        "builder.verify --source S.pex --deps D.pex --workspace .",
    ),
)
@click.argument("out_dir", required=False, type=click.Path(path_type=Path))
@options.location_option(_WHAT, "Only this location.")
@option(
    _WHAT,
    "--source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A source PEX, instead of OUT_DIR.",
)
@option(
    _WHAT,
    "--deps",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The deps PEX that belongs to it.",
)
@option(
    _WHAT,
    "--workspace",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="The dagster_cloud.yaml that says what to load.",
)
@options.env_option(_HOW)
@options.timeout_option(_HOW, "--timeout", "How long a location may load.", seconds=120)
@options.json_option("Print all that was found")
@verbosity_options
def main(
    out_dir: Path | None,
    names: tuple[str, ...],
    source: Path | None,
    deps: Path | None,
    workspace: Path | None,
    variables: tuple[str, ...],
    timeout: float,
    *,
    as_json: bool,
) -> int:
    """Load the definitions of what `builder.deploy` built into OUT_DIR, as Dagster Cloud's server does.

    The PEX files are unpacked as there, and the code is loaded by the target's Python, in a process of its own. It
    gets the environment variables of this shell, but for secrets; those it needs are given with --env.

    The exit code is 0 if every location loads, 1 if one does not, and 3 if none fails but this machine cannot run
    one: that says nothing of how it will do on the server.
    """
    from builder.verification.verify import verify_locations  # noqa: PLC0415  (start-up time)

    environment = options.read_variables(variables)
    if out_dir is not None and not (source or deps or workspace):
        items, outcomes = built_locations(out_dir, names)
    elif out_dir is None and source and deps and workspace:
        items, outcomes = [_of_files(source, deps, workspace, names)], {}
    else:
        raise UsageError("give either OUT_DIR, or --source, --deps and --workspace")
    what = f"{len(items)} location{'s' if len(items) != 1 else ''}"
    with console.step(f"loaded {what}"), console.progress(f"loading {what}", None):
        outcomes |= verify_locations(items, timeout=timeout, environment=environment)
    if as_json:
        console.result(json.dumps({name: _report(outcome) for name, outcome in outcomes.items()}, indent=2))
    else:
        for name, outcome in outcomes.items():
            show_outcome(name, outcome)
    if any(isinstance(outcome, LoadError) for outcome in outcomes.values()):
        return 1
    return 0 if all(_loads(outcome) for outcome in outcomes.values()) else NOT_VERIFIED


def _of_files(source: Path, deps: Path, workspace: Path, names: Sequence[str]) -> ToVerify:
    from builder.project.workspace import read_workspace  # noqa: PLC0415  (start-up time)
    from builder.verification.machine import python_version_of  # noqa: PLC0415  (start-up time)
    from builder.verification.verify import to_verify  # noqa: PLC0415  (start-up time)

    locations = read_workspace(workspace).select(names).locations
    if len(locations) != 1:
        raise UsageError(
            f"`{workspace}` has {len(locations)} locations, and the PEX files are of one",
            remedy=f"Choose it with --location: {', '.join(location.name for location in locations)}",
        )
    version = python_version_of(source)
    if version is None:
        raise LoadError(f"`{source}` does not say for which Python it is", remedy="Build it with builder.source")
    location: Location = locations[0]
    return to_verify(location, source.absolute(), deps.absolute(), version)


def _loads(outcome: Outcome) -> bool:
    from builder.verification.verify import Verified  # noqa: PLC0415  (start-up time)

    return isinstance(outcome, Verified)


def _report(outcome: Outcome) -> dict[str, object]:
    from builder.verification.verify import Verified  # noqa: PLC0415  (start-up time)

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


if __name__ == "__main__":
    run_command(main, "builder.verify")
