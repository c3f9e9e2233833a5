"""The contents of PEX files: sizes by distribution and by file, and duplicate files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from builder.assembly.archive import Member
from builder.assembly.wheels import Wheel

NOTABLE: Final = 1_000_000
"""Minimum size in bytes of a distribution's file that is listed separately."""

_TESTS: Final = re.compile(r"(?:^|/)tests?/")


class PackedFile(NamedTuple):
    """A file in a PEX file. A tuple because there can be many thousands.

    :param name: POSIX path in the PEX file or, in a deps PEX, in the site-packages that it is unpacked to.
    :param packed: bytes in the PEX file.
    :param unpacked: bytes on the server's disk.
    :param crc: CRC-32 of the content.
    """

    name: str
    packed: int
    unpacked: int
    crc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedDistribution:
    """A distribution in a deps PEX.

    :param project: normalised name.
    :param packed: bytes of its files in the PEX file, without those of their names.
    :param unpacked: bytes on the server's disk.
    :param tests: how many of the unpacked bytes lie in directories called `test` or `tests`.
    :param files: those of at least NOTABLE bytes.
    :param copies: directories in which it brings along a botocore, the large part of the AWS SDK.
    :param metadata: the headers of its METADATA by name in lower case.
    :param imports: the modules and regular packages that it installs, less those in others, as paths.
    :param roots: the names at the top of `site-packages` that it installs.
    """

    project: str
    version: str
    packed: int
    unpacked: int
    tests: int
    files: tuple[PackedFile, ...]
    copies: tuple[str, ...]
    metadata: Mapping[str, Sequence[str]]
    imports: tuple[str, ...] = ()
    roots: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One content under several names, sorted; `size` is that of one of them, unpacked."""

    names: tuple[str, ...]
    size: int


def packed_distribution(wheel: Wheel, members: Iterable[Member]) -> PackedDistribution:
    """Summarise a wheel and its members as they are in a PEX file."""
    packed = unpacked = tests = 0
    files = []
    copies = []
    modules: set[str] = set()
    roots: set[str] = set()
    for name, data, _, crc, size, _ in members:
        roots.add(name.partition("/")[0])
        packed += len(data)
        unpacked += size
        if "test" in name and _TESTS.search(name):
            tests += size
        if size >= NOTABLE:
            files.append(PackedFile(name, len(data), size, crc))
        if f"/{name}".endswith("/botocore/session.py"):
            copies.append(name.removesuffix("/session.py"))
        if name.endswith("/__init__.py"):
            modules.add(name.removesuffix("/__init__.py"))
        elif "/" not in name and name.endswith((".py", ".so")):
            modules.add(name.partition(".")[0])
    return PackedDistribution(
        project=wheel.file.project,
        version=wheel.version,
        packed=packed,
        unpacked=unpacked,
        tests=tests,
        files=tuple(files),
        copies=tuple(sorted(copies)),
        metadata=wheel.metadata,
        imports=tuple(sorted(module for module in modules if modules.isdisjoint(_parents(module)))),
        roots=frozenset(roots),
    )


def _parents(path: str) -> Iterator[str]:
    """The directories that a path lies in."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def packed_file(member: Member) -> PackedFile:
    """A member without its bytes."""
    return PackedFile(member.name, len(member.data), member.size, member.crc)


def duplicates(files: Iterable[PackedFile]) -> tuple[Duplicate, ...]:
    """Contents of at least NOTABLE bytes that come more than once, those that waste most first."""
    names_by_content: dict[tuple[int, int], list[str]] = {}
    for name, _, size, crc in files:
        if size >= NOTABLE:
            names_by_content.setdefault((size, crc), []).append(name)
    several = [
        Duplicate(tuple(sorted(names)), size) for (size, _), names in names_by_content.items() if len(names) > 1
    ]
    return tuple(
        sorted(several, key=lambda duplicate: (-duplicate.size * (len(duplicate.names) - 1), duplicate.names))
    )
