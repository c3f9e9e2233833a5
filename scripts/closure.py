"""Computing the dependencies of wheels on one target from the wheels' metadata.

Needs `packaging`, which the caller adds to `sys.path` (the build takes it from the locked wheels).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement


class IncompleteError(Exception):
    """The wheels lack a distribution, or have an incompatible version of it."""


def closure(
    roots: Iterable[str], wheels: Iterable[Path], environment: Mapping[str, str], *, without: frozenset[str]
) -> dict[str, Path]:
    """The wheels of `roots` and their dependencies, by distribution name; those in `without` are left out.

    :param environment: PEP 508 markers of the target.
    Raises IncompleteError, also if a wheel does not support the target's Python.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415  (see above)
    from packaging.utils import canonicalize_name, parse_wheel_filename  # noqa: PLC0415

    by_name = {parse_wheel_filename(wheel.name)[0]: wheel for wheel in wheels}
    found: dict[str, Path] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if name in without or (name, extras) in seen:
            continue
        seen.add((name, extras))
        if name not in by_name:
            message = f"`{wanted}` is needed and not locked"
            raise IncompleteError(message)
        found[name] = by_name[name]
        if not wanted.specifier.contains(parse_wheel_filename(by_name[name].name)[1], prereleases=True):
            message = f"`{wanted}` is needed, `{by_name[name].name}` is locked"
            raise IncompleteError(message)
        todo.extend(_requirements(by_name[name], extras, environment))
    return found


def _requirements(wheel: Path, extras: frozenset[str], environment: Mapping[str, str]) -> list[Requirement]:
    from packaging.requirements import Requirement  # noqa: PLC0415  (see above)
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415

    with zipfile.ZipFile(wheel) as archive:
        # Top level only: setuptools contains vendored distributions further down.
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    if environment["python_full_version"] not in SpecifierSet(metadata["Requires-Python"] or ""):
        message = f"`{wheel.name}` does not support Python {environment['python_full_version']}"
        raise IncompleteError(message)
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None
        or any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))
    ]
