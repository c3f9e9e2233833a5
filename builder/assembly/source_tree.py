"""The contents of a source PEX: installed local packages, and the project's files as the working directory.

The receiving server runs the code in `working_directory/root` of the unpacked PEX (`dagster-cloud`,
`pex/grpc/server/registry.py`); whatever lies at the top is importable.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from builder.assembly.archive import content_of
from builder.assembly.installation import LAYOUT, STASH, install
from builder.assembly.source_pex import DEPS, SourceEntry
from builder.assembly.wheels import WheelFile, open_wheel
from builder.errors import AssemblyError, Notice, PathTakenError, ProjectError
from builder.project.external_files import ExternalPath
from builder.project.files import ProjectFile, Selection

ROOT: Final = "working_directory/root"
"""Where the files of the build directory are."""

_MARKER: Final = SourceEntry(
    "working_directory/__init__.py", 0o644, b'"""Holds the files of the project, in the directory root."""\n'
)

# A requirement that is a path says where packages lay on the machine that built; here they are installed.
PATH_REQUIREMENT: Final = re.compile(rb"(?m)^(Requires-Dist: [^@;\n]*?) *@ *file:[^\s;]*")

# What an editable installation of a package in the `src` layout does: its modules are those of the working
# directory, so that code which looks for what lies around it, like dagster's `load_from_defs_folder`, finds it.
# The installed copies are for those who do not read this file. `sitedir` is a variable of `site.addpackage`.
PATHS: Final = "working_directory.pth"
PATH_LINE: Final = (
    "import os, sys; sys.path.insert(sys.path.index(sitedir) if sitedir in sys.path else 0,"
    " os.path.join(sitedir, *{parts!r}))\n"
)
_MODULE: Final = re.compile(r".+/.+|[^/]+\.(py|pyi|so|pyd)")
_MANIFESTS: Final = ("pyproject.toml", "setup.py", "setup.cfg")

# A receiver installs no wheels out of a source PEX: what a wheel would spread over an environment is put where
# `pip install --target` puts it. Headers are of no use at run time.
_SCHEMES: Final = {"purelib": "", "platlib": "", "data": "", "scripts": "bin/"}
_OF_PROGRAMS: Final = re.compile(r"bin/|[^/]+\.dist-info/")


def source_entries(
    selection: Selection, wheels: Sequence[Path], outside: Sequence[ExternalPath] = ()
) -> tuple[list[SourceEntry], list[Notice]]:
    """The entries of a source PEX.

    :param wheels: of the local packages, the project's own first; where two install the same file with different
        content the first wins, and a notice says so.
    :param outside: what belongs from outside the build directory; it goes to the same place relative to `root`.

    Raises AssemblyError for a wheel with a name that the PEX format reserves, ProjectError for a symlink loop.
    """
    entries: dict[str, SourceEntry] = {}
    notices: list[Notice] = []
    for wheel in wheels:
        for entry in _installed(wheel):
            first = entries.setdefault(entry.name, entry)
            if first.content != entry.content:
                notices.append(
                    Notice(
                        f"two local packages install `{entry.name}`; the one of `{wheel.name}` is dropped: rename"
                        " one of the two"
                    )
                )
    if any(name.partition("/")[0] == "working_directory" for name in entries):
        raise AssemblyError(
            "a local package installs `working_directory`, which Dagster Cloud keeps for the project's files",
            remedy="Give that package another name",
        )
    entries[_MARKER.name] = _MARKER
    for entry in _working_directory_entries(module_roots(wheels, selection.files)):
        entries.setdefault(entry.name, entry)
    for place, files in [
        (ROOT, selection.files),
        *((place_of(external, ROOT), external.selection.files) for external in outside),
    ]:
        for entry in project_entries(place, files):
            if entries.setdefault(entry.name, entry) is not entry and entry.content is not None:
                raise PathTakenError(entry.name, "source PEX")
    return list(entries.values()), notices


def _working_directory_entries(roots: Mapping[str, Mapping[str, bytes]]) -> Iterator[SourceEntry]:
    """The entries that put these directories of the project on the path, and the files that builds made there."""
    if roots:
        lines = (PATH_LINE.format(parts=(*ROOT.split("/"), *root.split("/"))) for root in roots)
        yield SourceEntry(PATHS, 0o644, "".join(lines).encode())
    for root, made in roots.items():
        for name, content in made.items():
            yield SourceEntry(f"{ROOT}/{root}/{name}", 0o644, content)


def module_roots(wheels: Sequence[Path], files: Sequence[ProjectFile]) -> dict[str, dict[str, bytes]]:
    """The directories of the project, such as `src`, that have the modules of these wheels, and what they lack.

    That is what a build made, such as `_version.py`: after an editable installation it would lie there too.
    """
    roots_of: dict[str, dict[str, bytes]] = {}
    for wheel in wheels:
        if root := _module_root(wheel, files):
            roots_of.setdefault(root[0], {}).update(root[1])
    return dict(sorted(roots_of.items()))


def _module_root(path: Path, files: Sequence[ProjectFile]) -> tuple[str, dict[str, bytes]] | None:
    """The directory that has a wheel's modules, and what only the wheel has; files beside modules do not count.

    None if there is none, or if it is the package's own directory: a build directory is on the path at run time
    anyway, and another package's would bring its tests along.
    """
    with zipfile.ZipFile(path) as wheel:
        contents = {
            name: wheel.read(name)
            for name in wheel.namelist()
            if _MODULE.fullmatch(name) and not re.match(r"[^/]+\.(dist-info|data)/", name)
        }
    tops = {name.partition("/")[0] for name in contents}
    by_name = {file.name: file.path for file in files if file.path is not None and file.link is None}
    by_last = {name.rpartition("/")[2]: name for name in contents}
    places = ((file, f"/{by_last.get(file.rpartition('/')[2], '')}") for file in by_name)
    for root in sorted({file.removesuffix(end) for file, end in places if end != "/" and file.endswith(end)}):
        there = {name: by_name[f"{root}/{name}"] for name in contents if f"{root}/{name}" in by_name}
        if (
            tops == {name.partition("/")[0] for name in there}
            and not any(f"{root}/{manifest}" in by_name for manifest in _MANIFESTS)
            and all(file.read_bytes() == contents[name] for name, file in there.items())
        ):
            return root, {name: content for name, content in contents.items() if name not in there}
    return None


def place_of(outside: ExternalPath, root: str, top: str = "") -> str:
    """The place of an external file in the PEX, given the place of the build directory.

    :param top: the directory that it must stay below; empty for what `root` is relative to.

    Raises ProjectError if it is too far above.
    """
    place = posixpath.normpath(f"{root}/{outside.name}")
    if place.startswith("../") or place in {".", "..", top} or (top and not place.startswith(f"{top}/")):
        raise ProjectError(
            f"`include` names `{outside.name}`, which is too far above the build directory",
            remedy="Choose a build directory further up, with `build.directory` in dagster_cloud.yaml",
        )
    return place


def _installed(path: Path) -> Iterator[SourceEntry]:
    programs = _programs(path)
    yield from programs
    with zipfile.ZipFile(path) as wheel:
        for info in wheel.infolist():
            name = _path_in_pex(info.filename)
            if name and not info.is_dir() and not (programs and _OF_PROGRAMS.match(name)):
                executable = bool(info.external_attr >> 16 & 0o100)
                yield SourceEntry(name, 0o755 if executable else 0o644, _without_paths(name, wheel.read(info)))


def _programs(path: Path) -> list[SourceEntry]:
    """The metadata and programs of a wheel that has programs, as a distribution of their own.

    Only those of distributions are put on the PATH, by any pex-tools.
    """
    wheel = open_wheel(WheelFile(path, ""))
    programs = f"{STASH}/bin/"
    members = [
        member
        for member in install(wheel).members
        if member.name == LAYOUT or member.name.startswith((programs, f"{wheel.dist_info}/"))
    ]
    if not any(member.name.startswith(programs) for member in members):
        return []
    # It holds no modules, so it is for every platform, whatever the wheel is for.
    directory = f"{DEPS}/{'-'.join(path.name.split('-')[:2])}-py3-none-any.whl"
    return [
        SourceEntry(
            f"{directory}/{member.name}",
            0o755 if member.executable else 0o644,
            _without_paths(member.name, content_of(member)),
        )
        for member in members
    ]


def _without_paths(name: str, content: bytes) -> bytes:
    return PATH_REQUIREMENT.sub(rb"\1", content) if name.endswith(".dist-info/METADATA") else content


def _path_in_pex(name: str) -> str | None:
    """The place of a wheel's entry in the PEX; None if it is not packed."""
    spread = re.fullmatch(r"[^/]+\.data/([^/]+)/(.+)", name)
    if spread:
        prefix = _SCHEMES.get(spread[1])
        return None if prefix is None else prefix + spread[2]
    # RECORD lists the wheel's files under the names that they had in it.
    return None if re.fullmatch(r"[^/]+\.dist-info/RECORD(\.jws|\.p7s)?", name) else name


def project_entries(place: str, files: Sequence[ProjectFile]) -> Iterator[SourceEntry]:
    """The files under `place`; a file without a name of its own is `place` itself."""
    by_name = {file.name: file for file in files}
    if "" not in by_name:
        yield SourceEntry(place, 0o755, None)
    for file in files:
        yield from _entries(file, f"{place}/{file.name}".rstrip("/"), by_name, ())


def _entries(
    file: ProjectFile, name: str, by_name: Mapping[str, ProjectFile], followed: tuple[str, ...]
) -> Iterator[SourceEntry]:
    """A file under a name; a symlink as what it points to, since no pex-tools keeps symlinks when it unpacks."""
    if file.link is None:
        yield SourceEntry(name, file.mode, file.path)
        return
    if file.name in followed:
        raise ProjectError(
            f"the symlink `{followed[0]}` is part of a loop, through `{file.name}`",
            remedy="Remove it, or name it in .builderignore",
        )
    target = posixpath.normpath(posixpath.join(posixpath.dirname(file.name), file.link))
    existing = by_name.get(target)
    if existing is not None:
        yield from _entries(existing, name, by_name, (*followed, file.name))
        return
    yield SourceEntry(name, 0o755, None)
    for below in by_name.values():
        if below.name.startswith(f"{target}/"):
            yield from _entries(below, f"{name}/{below.name[len(target) + 1 :]}", by_name, (*followed, file.name))
