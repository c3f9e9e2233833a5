"""Finding the Python of an image on the image's PATH, as a shell would, without running the image."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from builder.oci.filesystem import Filesystem

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PROGRAM: Final = re.compile(r"python(\d+\.\d+)")
_NAMES: Final = ("python3", "python")
_GLIBC: Final = re.compile(rb"GNU C Library [^\n]*version (\d+\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePython:
    """The default Python of an image, with the files that matter for an installation. Paths are absolute.

    :param python: the interpreter itself, not a link to it.
    :param version: such as "3.11".
    :param prefix: the prefix of the installation, which `bin` and `lib` are in.
    :param glibc: the version of glibc, such as "2.36"; empty if the image has another C library.
    :param passwd: the content of /etc/passwd; empty if there is none.
    :param group: the content of /etc/group.
    :param distributions: the files of each distribution that is installed in site-packages, by normalised name.
    """

    python: str
    version: str
    site_packages: str
    scripts: str
    prefix: str
    glibc: str
    passwd: str
    group: str
    distributions: Mapping[str, Sequence[str]]


def wanted(path: str) -> bool:
    """Whether the content of a file, by its path, is needed to describe the image's Python."""
    base = posixpath.basename(path)
    return (
        path in {"/etc/passwd", "/etc/group"}
        or base in {"libc.so.6", "pyvenv.cfg"}
        or path.endswith(".dist-info/RECORD")
    )


def find_python(files: Filesystem, path: str) -> ImagePython | None:
    """The first Python on an image's PATH; None if there is none."""
    for directory in (part for part in path.split(":") if part.startswith("/")):
        for name in _NAMES:
            resolved = files.resolve(f"{directory}/{name}")
            match = _PROGRAM.fullmatch(posixpath.basename(resolved)) if resolved else None
            if resolved and match:
                return _describe(files, directory, resolved, match[1])
    return None


def _describe(files: Filesystem, directory: str, resolved: str, version: str) -> ImagePython:
    environment = posixpath.dirname(directory)
    if files.read(f"{environment}/pyvenv.cfg") is not None:
        python, prefix, packages = f"{directory}/python{version}", environment, "site-packages"
        python = python if files.resolve(python) else f"{directory}/python"
    elif _has_directory(files, "/usr/lib/python3/dist-packages") and posixpath.dirname(resolved) == "/usr/bin":
        # Debian's own Python installs packages that are not Debian's into /usr/local.
        python, prefix, packages = resolved, "/usr/local", "dist-packages"
    else:
        python, prefix, packages = resolved, posixpath.dirname(posixpath.dirname(resolved)), "site-packages"
    site_packages = f"{prefix}/lib/python{version}/{packages}"
    return ImagePython(
        python=python,
        version=version,
        site_packages=site_packages,
        scripts=f"{prefix}/bin",
        prefix=prefix,
        glibc=_glibc(files),
        passwd=(files.read("/etc/passwd") or b"").decode(errors="replace"),
        group=(files.read("/etc/group") or b"").decode(errors="replace"),
        distributions=_distributions(files, site_packages),
    )


def _has_directory(files: Filesystem, path: str) -> bool:
    """Whether a directory exists, as an entry of a layer or implied by a file in it."""
    return files.resolve(path) is not None or bool(files.below(path))


def _glibc(files: Filesystem) -> str:
    for path, entry in files.entries.items():
        if entry.content and posixpath.basename(path) == "libc.so.6" and (match := _GLIBC.search(entry.content)):
            return match[1].decode()
    return ""


def _distributions(files: Filesystem, site_packages: str) -> dict[str, list[str]]:
    """The installed files of each distribution, which an installer removes before it installs another version."""
    distributions: dict[str, set[str]] = {}
    for path in files.below(site_packages):
        relative = path.removeprefix(f"{site_packages}/")
        directory, _, below = relative.partition("/")
        if not (below and directory.endswith(".dist-info")):
            continue
        name = re.sub(r"[-_.]+", "-", directory.partition("-")[0]).lower()
        distributions.setdefault(name, set()).add(path)
        if below == "RECORD":
            distributions[name].update(_recorded(files, site_packages, files.entries[path].content or b""))
    return {name: sorted(paths) for name, paths in sorted(distributions.items())}


def _recorded(files: Filesystem, site_packages: str, record: bytes) -> Iterator[str]:
    """The files in a RECORD that exist in the image."""
    for row in csv.reader(io.StringIO(record.decode(errors="replace"), newline="")):
        path = posixpath.normpath(posixpath.join(site_packages, row[0])) if row else ""
        if path in files.entries:
            yield path
