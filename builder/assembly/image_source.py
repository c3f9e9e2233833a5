"""The source layer of an image: the project's files, its local packages installed, and the user that runs them.

The project lies in `/opt/dagster/app`, the working directory, as in the images that Dagster's own tools build.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder.assembly.archive import Member, content_of, deflated, directory, names_of_both, stored
from builder.assembly.contents import PackedFile, packed_file
from builder.assembly.image_files import Scheme, installed_files
from builder.assembly.image_layer import ROOT, LayerWriter, Owner, directories
from builder.assembly.layer import Layer
from builder.assembly.source_pex import SourceEntry, check_encoding, compressed_member
from builder.assembly.source_tree import (
    PATH_LINE,
    PATH_REQUIREMENT,
    PATHS,
    module_roots,
    place_of,
    project_entries,
)
from builder.assembly.wheels import Wheel, WheelFile, open_wheel
from builder.errors import AssemblyError, Notice, PathTakenError
from builder.project.external_files import ExternalPath
from builder.project.files import Selection
from builder.system import storage

CODE: Final = "source"
"""The title of the layer with the code."""

STATE: Final = "state"
"""The title of a layer above that, with the state of components."""

APP: Final = "/opt/dagster/app"
"""The working directory of the code: the files of the build directory."""

_TOP: Final = "opt"
_MOST_THREADS: Final = 4

USER_ID: Final = 10001
_USER: Final = "dagster"
_HOME: Final = f"/home/{_USER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUser:
    """Who runs the code in an image.

    :param name: as the image's configuration has it; empty for root.
    :param owner: of the project's files, who may write there.
    :param files: what makes the user known in the image.
    :param home: its home directory; empty if that is not made here.
    """

    name: str = ""
    owner: Owner = ROOT
    files: tuple[Member, ...] = ()
    home: str = ""


def plain_user(passwd: str, group: str) -> ImageUser:
    """A user without privileges, for an image whose base names none.

    :param passwd: the content of the base's /etc/passwd, `group` that of its /etc/group.

    By number: Kubernetes' `runAsNonRoot` can only check a number.
    """
    files = []
    for name, text, line in (
        ("etc/passwd", passwd, f"{_USER}:x:{USER_ID}:{USER_ID}::{_HOME}:/usr/sbin/nologin"),
        ("etc/group", group, f"{_USER}:x:{USER_ID}:"),
    ):
        lines = text.splitlines()
        taken = any(entry.split(":")[0] == _USER or entry.split(":")[2:3] == [str(USER_ID)] for entry in lines)
        files.append(stored(name, ("\n".join(lines if taken else [*lines, line]) + "\n").encode()))
    return ImageUser(name=f"{USER_ID}:{USER_ID}", owner=Owner(USER_ID, USER_ID), files=tuple(files), home=_HOME)


def user_of_base(name: str, passwd: str) -> ImageUser:
    """The user that a base image names; empty for root."""
    user, _, group = name.partition(":")
    entries = (line.split(":") for line in passwd.splitlines())
    known = next((entry for entry in entries if len(entry) > 3 and user in {entry[0], entry[2]}), None)
    number = user if user.isdecimal() else known[2] if known else "0"
    group_number = group if group.isdecimal() else known[3] if known else number
    return ImageUser(name=name, owner=Owner(int(number), int(group_number)))


@dataclass(frozen=True, slots=True)
class SourceLayer:
    """The layer, every file in it sorted by name, and its warnings."""

    layer: Layer
    files: tuple[PackedFile, ...]
    notices: tuple[Notice, ...]


def source_layer(
    selection: Selection,
    wheels: Sequence[Path],
    outside: Sequence[ExternalPath],
    *,
    scheme: Scheme,
    user: ImageUser,
    changed: Mapping[str, bytes] | None = None,
    out_dir: Path,
) -> SourceLayer:
    """Write the source layer of an image into a directory.

    :param wheels: of the local packages, the project's own first; where two install the same file with different
        content the first wins, and a notice says so.
    :param changed: what files of the build directory hold instead of what is there.
    :param outside: what belongs from outside the build directory; it goes to the same place relative to `APP`.

    Raises AssemblyError for files that cannot be in a layer, and for one that cannot be read or changes meanwhile;
    ProjectError for a symlink loop.
    """
    installed, notices = _installed(wheels, scheme)
    if roots := module_roots(wheels, selection.files):
        text = "".join(PATH_LINE.format(parts=(f"{APP}/{root}",)) for root in roots)
        path_file = f"{scheme.site_packages[1:]}/{PATHS}"
        installed.setdefault(path_file, stored(path_file, text.encode()))
    project = {member.name: member for member in _project_members(selection, outside)}
    for name, data in (changed or {}).items():
        if (place := f"{APP[1:]}/{name}") in project:
            project[place] = stored(place, data)
    for root, made in roots.items():
        for name, data in made.items():
            project.setdefault(f"{APP[1:]}/{root}/{name}", stored(f"{APP[1:]}/{root}/{name}", data))
    files = {**installed, **{file.name: file for file in user.files}, **project}
    if clashes := names_of_both([name for name in files if not name.endswith("/")]):
        raise AssemblyError(f"`{min(clashes)}` is both a file and a directory in the image")
    path = out_dir / "source.tar.gz"
    with storage.atomic_write(path) as stream:
        writer = LayerWriter(stream)
        for name, member in sorted({**_implied(files.values(), scheme, user), **files}.items()):
            mine = f"/{name}".startswith((f"{APP}/", f"{user.home}/" if user.home else f"{APP}/"))
            writer.add(member, user.owner if mine else ROOT)
        content = writer.finish()
    contents = [packed_file(member) for name, member in sorted(files.items()) if not name.endswith("/")]
    return SourceLayer(Layer(path, content, CODE), tuple(contents), tuple(notices))


def state_layer(files: Mapping[str, bytes], path: Path, owner: Owner) -> Layer:
    """Write a layer with files that were made out of the code.

    :param files: by their names in `APP`.
    :param owner: of the project's files.
    """
    members = [deflated(f"{APP[1:]}/{name}", content) for name, content in files.items()]
    with storage.atomic_write(path) as stream:
        writer = LayerWriter(stream)
        # With that of the code, or container engines would make it anew, as root's.
        for member in sorted([directory(APP[1:]), *directories(members, APP), *members]):
            writer.add(member, owner)
        content = writer.finish()
    return Layer(path, content, STATE)


def removals(distributions: Mapping[str, Sequence[str]], replaced: Iterable[str]) -> tuple[str, ...]:
    """The files of a base image that installers remove before they install other versions, sorted.

    :param distributions: the files, absolute, of each distribution that the base has installed.
    :param replaced: normalised names of the distributions that are installed anew.
    """
    names = set(replaced)
    return tuple(sorted({path for name, paths in distributions.items() if name in names for path in paths}))


def _implied(files: Iterable[Member], scheme: Scheme, user: ImageUser) -> dict[str, Member]:
    """The directories that are made, those of the user too."""
    members = list(files)
    names = [*directories(members, scheme.site_packages), *directories(members, f"/{_TOP}"), directory(APP[1:])]
    if user.home:
        names.append(directory(user.home[1:]))
    return {member.name: member for member in names}


def _installed(wheels: Sequence[Path], scheme: Scheme) -> tuple[dict[str, Member], list[Notice]]:
    files: dict[str, Member] = {}
    notices: list[Notice] = []
    for path in wheels:
        wheel, changed = _without_paths(open_wheel(WheelFile(path, storage.sha256_of(path))))
        for member in installed_files(wheel, scheme, changed):
            first = files.setdefault(member.name, member)
            if first.crc != member.crc:
                notices.append(
                    Notice(
                        f"two local packages install `/{member.name}`; the one of `{path.name}` is dropped: rename"
                        " one of the two"
                    )
                )
    return files, notices


def _without_paths(wheel: Wheel) -> tuple[Wheel, frozenset[str]]:
    """A wheel whose requirements name no paths of this machine, and the names of the files changed for that."""
    name = f"{wheel.dist_info}/METADATA"
    content = content_of(wheel.entries[name])
    changed = PATH_REQUIREMENT.sub(rb"\1", content)
    if changed == content:
        return wheel, frozenset()
    return replace(wheel, entries={**wheel.entries, name: deflated(name, changed)}), frozenset({name})


def _project_members(selection: Selection, outside: Sequence[ExternalPath]) -> Iterator[Member]:
    entries: dict[str, SourceEntry] = {}
    root = APP[1:]
    places = [
        (root, selection.files),
        *((place_of(external, root, _TOP), external.selection.files) for external in outside),
    ]
    for place, files in places:
        for entry in project_entries(place, files):
            if entries.setdefault(entry.name, entry) is not entry and entry.content is not None:
                raise PathTakenError(f"/{entry.name}", "image")
            check_encoding(entry.name)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(compressed_member, entries.values())
