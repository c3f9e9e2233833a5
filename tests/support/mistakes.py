"""A mistake that people make, and what they are told: where, what, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.commands import Ran


@dataclass(frozen=True, slots=True)
class Mistake:
    """One row of a table.

    :param files: of the project, by name.
    :param where: file and line, as the error has them below the project's directory; empty if it names none.
    :param what: words of the first line.
    :param remedy: words of the hint.
    :param options: of the command.
    """

    files: Mapping[str, str]
    where: str
    what: str
    remedy: str
    options: Sequence[str] = ()


def check(mistake: Mistake, ran: Ran, project: str) -> None:
    """Fail unless the command's one error is the expected one."""
    error = ran.failed(ran.code or 1)
    first = error.splitlines()[0]
    hint = error.partition("\nhint: ")[2]
    assert mistake.what in first, error
    assert mistake.remedy in hint, error
    assert (f"\n  where: {project}/{mistake.where}\n" in error) == bool(mistake.where), error
    assert "Traceback" not in error
