"""Printing the results of verification: what each location defines, or why it does not load."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from builder.errors import LoadError, Notice
from builder.terminal.console import console
from builder.terminal.formatting import duration
from builder.verification.load import VERSIONED_STATE, Definitions
from builder.verification.verify import Verified, VerifyResult

_SHOWN: Final = 5
"""How many names of a kind are shown."""


def show_outcome(name: str, outcome: VerifyResult, *, as_result: bool = False) -> None:
    """Print the result of a location: its definitions and dagster's warnings, or why it does not load.

    :param as_result: whether it is the command's main result, printed to stdout with the names of definitions.
    """
    if isinstance(outcome, LoadError):
        console.error(outcome, about=f"location `{name}`")
    elif isinstance(outcome, Verified):
        loads = f"location `{name}` loads: {_counts(outcome.definitions)}"
        if as_result:
            console.result(f"✓ {loads} (dagster {outcome.dagster_version}, {outcome.seconds:.1f} s)")
            for line in _names(outcome.definitions):
                console.result(f"  {line}")
        elif outcome.age is not None:
            console.done(f"{loads} (as the same files did {duration(outcome.age)} ago)", 0.0)
        else:
            console.done(loads, outcome.seconds)
        console.notices(
            Notice(f"location `{name}`: {warning.text}", warning.where) for warning in outcome.warnings
        )
        if kept := [f"`{state.key}`" for state in outcome.states if state.kind == VERSIONED_STATE]:
            console.note(
                f"  the deployment keeps the state of {', '.join(kept)}; what it defines is not seen here"
            )
    else:
        remedy = f"; {outcome.remedy[0].lower()}{outcome.remedy[1:]}" if outcome.remedy else ""
        console.notices([Notice(f"location `{name}` was not verified: {outcome.reason}{remedy}")])


def _kinds(definitions: Definitions) -> dict[str, tuple[str, ...]]:
    """The names by kind, such as `asset checks`, for kinds that have any."""
    kinds = {field.name.replace("_", " "): getattr(definitions, field.name) for field in fields(definitions)}
    return {kind: names for kind, names in kinds.items() if names}


def _counts(definitions: Definitions) -> str:
    """The numbers of assets, jobs and so on, as a text."""
    numbers = [
        f"{len(names)} {kind if len(names) > 1 else kind.removesuffix('s')}"
        for kind, names in _kinds(definitions).items()
    ]
    return ", ".join(numbers) or "nothing is defined"


def _names(definitions: Definitions) -> list[str]:
    lines = []
    for kind, names in _kinds(definitions).items():
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"{kind}: {', '.join(names[:_SHOWN])}{more}")
    return lines
