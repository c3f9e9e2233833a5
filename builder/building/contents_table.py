"""Tables of what a build contains, and of the difference between two locks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from builder.assembly.contents import PackedDistribution, PackedFile, duplicates
from builder.building.steps import DepsBuild, SourceBuild
from builder.resolution.lock_diff import LockDiff, LockEntry
from builder.terminal.console import console
from builder.terminal.formatting import size

_UNKNOWN: Final = "?"

_LARGE: Final = 20_000_000
"""Minimum unpacked size in bytes of distributions that are listed without --report; larger than dagster's own."""

_FIRST: Final = 5
"""Distributions that are listed without --report."""

_FILES: Final = 20
"""Files of a source PEX that are listed."""


def show_diff(diff: LockDiff) -> None:
    """Show what changed from one lock to another: a line for each distribution, and the sum."""
    rows = list(_diff_rows(diff))
    if rows:
        console.table(["", "distribution", "old", "new", ">old size", ">new size"], rows)
    console.result(diff_summary(diff))


def diff_summary(diff: LockDiff) -> str:
    """What changed from one lock to another, in one line."""
    unknown = f" (without {diff.unknown} of unknown size)" if diff.unknown else ""
    if not diff:
        return f"no difference: {diff.unchanged} distributions, {size(diff.new_size)}{unknown}"
    counts = {"added": diff.added, "removed": diff.removed, "changed": diff.changed}
    said = [f"{len(changes)} {what}" for what, changes in counts.items() if changes]
    counted = f"{', '.join(said)}, {diff.unchanged} unchanged"
    return f"{counted}; {size(diff.old_size)} → {size(diff.new_size)}{unknown}"


def show_contents(deps: Sequence[DepsBuild], sources: Sequence[SourceBuild], *, full: bool) -> None:
    """Show the contents of PEX files: in full, or only large distributions and files.

    Files that several locations share are shown once.
    """
    unique = {dep.name: dep for dep in deps}
    for build in unique.values():
        _show_distributions(build, of=f" of {build.name}" if len(unique) > 1 else "", full=full)
    if full:
        files = {source.artefact.name: source for source in sources}
        for source in files.values():
            _show_files(source, of=f" of {source.artefact.name}" if len(files) > 1 else "")


def largest(distributions: Iterable[PackedDistribution]) -> list[PackedDistribution]:
    """Distributions, those first that take the most space on the server's disk."""
    return sorted(distributions, key=lambda dist: (-dist.unpacked, dist.project))


def _show_distributions(deps: DepsBuild, *, of: str, full: bool) -> None:
    if not deps.built:
        if full:
            console.note(f"{deps.name} was not built here, so its contents are unknown")
        return
    distributions = largest(deps.distributions)
    shown = distributions if full else [dist for dist in distributions[:_FIRST] if dist.unpacked >= _LARGE]
    if not shown:
        return
    rows = [_distribution_row(f"{dist.project} {dist.version}", [dist]) for dist in shown]
    if len(shown) < len(distributions):
        rows.append(_distribution_row(f"{len(distributions) - len(shown)} others", distributions[len(shown) :]))
    rows.append(_distribution_row(f"all {len(distributions)}", distributions))
    _show_table([f"{'distributions' if full else 'largest distributions'}{of}", *_SIZES, ">tests"], rows)
    if full:
        _show_duplicates(of, _named(distributions))


def _named(distributions: Iterable[PackedDistribution]) -> Iterator[PackedFile]:
    for dist in distributions:
        yield from (file._replace(name=f"{dist.project}: {file.name}") for file in dist.files)


def _show_files(source: SourceBuild, *, of: str) -> None:
    files = sorted(source.contents, key=lambda file: (-file.unpacked, file.name))
    rows = [_file_row(file.name, [file]) for file in files[:_FILES]]
    if rest := files[_FILES:]:
        rows.append(_file_row(f"{len(rest)} others", rest))
    rows.append(_file_row(f"all {len(files)}", files))
    _show_table([f"files of the source PEX{of.removeprefix(' of')}", *_SIZES], rows)
    _show_duplicates(of, files)


def _show_duplicates(of: str, files: Iterable[PackedFile]) -> None:
    rows = [
        [path, "" if number else size(duplicate.size)]
        for duplicate in duplicates(files)
        for number, path in enumerate(duplicate.names)
    ]
    if rows:
        _show_table([f"the same content several times{of}", _SIZES[1]], rows)


def _show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    console.result("")
    console.table(columns, rows)


_SIZES: Final = (">packed", ">unpacked")


def _distribution_row(title: str, distributions: Sequence[PackedDistribution]) -> list[str]:
    tests = sum(dist.tests for dist in distributions)
    sizes = size(sum(dist.packed for dist in distributions)), size(sum(dist.unpacked for dist in distributions))
    return [title, *sizes, size(tests) if tests else ""]


def _file_row(title: str, files: Sequence[PackedFile]) -> list[str]:
    return [title, size(sum(file.packed for file in files)), size(sum(file.unpacked for file in files))]


def _diff_rows(diff: LockDiff) -> Iterator[list[str]]:
    for new in diff.added:
        yield ["added", new.name, "", new.version, "", _size(new)]
    for old in diff.removed:
        yield ["removed", old.name, old.version, "", _size(old), ""]
    for old, new in diff.changed:
        same = " (another file)" if old.versions == new.versions else ""
        yield ["changed", new.name, old.version, new.version + same, _size(old), _size(new)]


def _size(entry: LockEntry) -> str:
    return _UNKNOWN if entry.size is None else size(entry.size)
