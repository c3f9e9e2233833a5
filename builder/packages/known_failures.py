"""The list of a repository's packages that are known to fail: `.github/known-failures.toml`.

    [dagster-airflow]
    reason = "does not declare airflow, as the release does not"
    since = 2026-11-29

Such a package may fail in any step. Once it passes the check, the list is no longer true, which is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import BuilderError, PackagesError
from builder.packages.discover import Package
from builder.packages.wheelhouse import BuiltPackage
from builder.project.toml_file import TomlFile

LIST: Final = ".github/known-failures.toml"


class StaleEntryError(PackagesError):
    """A package of the list that does not fail any more."""


def read_known_failures(root: Path, names: Collection[str]) -> dict[str, str]:
    """Read a repository's list: the reason and the date for each package, by normalised name.

    :param names: of all packages of the repository.

    Raises PackagesError for an entry that is not valid, or whose package does not exist.
    """
    path = root / LIST
    if not path.is_file():
        return {}
    reasons: dict[str, str] = {}
    listed = TomlFile.load(path)
    for written, entry in listed.data.items():
        name = canonicalize_name(written)
        if name not in names:
            raise PackagesError(
                f"`{written}` is no package of the repository",
                where=listed.origin(written),
                remedy="Remove it from the list",
            )
        reason, since = (entry.get("reason"), entry.get("since")) if isinstance(entry, dict) else (None, None)
        if not (isinstance(reason, str) and reason and isinstance(since, date)):
            raise PackagesError(
                f"the entry of `{written}` must have a reason and a date",
                where=listed.origin(written),
                remedy=f'Write `[{written}]`, `reason = "…"`, `since = 2026-11-29`',
            )
        reasons[name] = f"{reason} (since {since.isoformat()})"
    return reasons


def excuse_known(known: Mapping[str, str]) -> Callable[[Package | BuiltPackage, BuilderError], str | None]:
    """A function that says why a package's failure was expected; None if it was not."""

    def excuse(package: Package | BuiltPackage, error: BuilderError) -> str | None:
        if isinstance(error, StaleEntryError) or package.name not in known:
            return None
        return f"known: {known[package.name]}"

    return excuse


def refuse_stale(name: str, known: Mapping[str, str]) -> None:
    """Raise StaleEntryError if a package that works is on the list."""
    if name in known:
        raise StaleEntryError(
            f"`{name}` works, but {LIST} says that it does not: {known[name]}", remedy="Remove it from the list"
        )
