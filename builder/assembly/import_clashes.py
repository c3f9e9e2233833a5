"""Warnings about local modules and distributions with the same import name, only one of which can be imported.

What pip puts into one site-packages, and what an editor runs from one directory, is found there by the first entry
of `sys.path` that has a regular package or a module of the name. Pure functions.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from builder.assembly.contents import PackedDistribution
from builder.assembly.source_tree import ROOT
from builder.errors import Notice

_NO_MATTER: Final = frozenset({"benchmarks", "docs", "example", "examples", "scripts", "test", "tests"})
"""Top-level directories that wheels install by mistake, and that are not imported."""


def import_clashes(
    names: Sequence[str], distributions: Iterable[PackedDistribution], working_directories: Iterable[str]
) -> Iterator[Notice]:
    """A notice for each local package or file whose name clashes with that of an installed or standard module.

    :param names: of all files of a source PEX.
    :param distributions: what the deps PEX holds.
    :param working_directories: of the locations, relative to the build directory.
    """
    owners = {root: dist for dist in distributions for root in dist.imports if root not in _NO_MATTER}
    yield from _split_packages(names, owners)
    for directory in sorted({posixpath.normpath(working_directory) for working_directory in working_directories}):
        place = posixpath.normpath(f"{ROOT}/{directory}")
        yield from _hiding(names, place, owners)


def _split_packages(names: Iterable[str], owners: dict[str, PackedDistribution]) -> Iterator[Notice]:
    """Local packages that put modules into a regular package of a distribution."""
    warned: set[str] = set()
    for name in sorted(names):
        if name.startswith("working_directory/") or not name.endswith(".py"):
            continue
        directories = list(_directories(name))
        root = next((directory for directory in directories if directory in owners), None)
        if root is not None and root not in warned:
            warned.add(root)
            yield Notice(
                f"a local package installs `{name}`, but `{root.replace('/', '.')}` is a package of"
                f" {_shown(owners[root])}: the server has the two in different directories, and Python finds only"
                f" one of them; give the local one another name, or let neither have an `{root}/__init__.py`"
            )


def _hiding(names: Iterable[str], place: str, owners: dict[str, PackedDistribution]) -> Iterator[Notice]:
    """Modules and packages of a working directory that are called like others."""
    inside = (name.removeprefix(f"{place}/") for name in names if name.startswith(f"{place}/"))
    own = {module: shown for name in inside for module, shown in _module(name)}
    for module, shown in sorted(own.items()):
        path = posixpath.join(posixpath.relpath(place, ROOT), shown).removeprefix("./")
        if module in owners:
            owner = _shown(owners[module])
            yield Notice(f"`{path}` hides the module `{module}` of {owner} from the code; rename it")
        elif module in sys.stdlib_module_names and module not in _NO_MATTER:
            yield Notice(
                f"`{path}` is called like the module `{module}` of the standard library, and an import of that may"
                " get either; rename it"
            )


def _module(name: str) -> Iterator[tuple[str, str]]:
    """The module at the top that a file makes, and how to show it; nothing for other files."""
    top, slash, rest = name.partition("/")
    if slash and rest == "__init__.py":
        yield top, f"{top}/"
    elif not slash and name.endswith((".py", ".so")):
        # An extension module is called `name.cpython-312-x86_64-linux-gnu.so`.
        yield name.partition(".")[0], name


def _directories(name: str) -> Iterator[str]:
    """All directories that a file lies in, from the top."""
    parts = name.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _shown(distribution: PackedDistribution) -> str:
    return f"{distribution.project} {distribution.version}"
