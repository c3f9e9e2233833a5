"""Reading an image's files from its layers, without unpacking them.

See image-spec 1.1, "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast

from builder.errors import ImageError

_GZIP: Final = b"\x1f\x8b"
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_DEPTH: Final = 40
"""The longest chain of symbolic links that is followed, as in the kernel."""


UNREADABLE: Final = (tarfile.TarError, EOFError, zlib.error, OSError)
"""The exceptions that reading a damaged layer raises."""


@contextlib.contextmanager
def open_layer(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a layer, an uncompressed or gzip-compressed tar file, for reading once from beginning to end.

    `tarfile` itself silently reads only the first member of a gzip file with several.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        compressed = file.read(2) == _GZIP
        file.seek(0)
        stream = cast("IO[bytes]", stack.enter_context(gzip.open(file))) if compressed else file
        yield stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an image.

    :param link: the target of a symbolic link; None for anything else.
    :param content: the bytes of a file that `wanted` selected; None for others.
    """

    link: str | None = None
    is_directory: bool = False
    content: bytes | None = None


@dataclass(slots=True)
class Filesystem:
    """The files of an image, by absolute path."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def resolve(self, path: str) -> str | None:
        """Resolve the symbolic links in a path; None if it does not exist."""
        for _ in range(_DEPTH):
            parts = [part for part in posixpath.normpath(path).split("/") if part]
            for count in range(1, len(parts) + 1):
                here = "/" + "/".join(parts[:count])
                entry = self.entries.get(here)
                if entry is not None and entry.link is not None:
                    target = posixpath.join(posixpath.dirname(here), entry.link)
                    path = posixpath.join(target, *parts[count:])
                    break
            else:
                resolved = "/" + "/".join(parts)
                return resolved if resolved in self.entries else None
        return None

    def read(self, path: str) -> bytes | None:
        """The content of a file that `wanted` selected; None if it does not exist."""
        resolved = self.resolve(path)
        return self.entries[resolved].content if resolved else None

    def below(self, directory: str) -> list[str]:
        """The paths of the files below a directory, sorted."""
        start = f"{directory}/"
        return sorted(
            path for path, entry in self.entries.items() if path.startswith(start) and not entry.is_directory
        )

    def add_layer(self, path: Path, wanted: Callable[[str], bool], of: str) -> None:
        """Apply one more layer.

        :param path: the layer's file, an uncompressed or gzip-compressed tar file.
        :param wanted: given a file's path, whether to keep its content.
        :param of: the name of the image, for error messages.

        Raises ImageError for a layer that cannot be read.
        """
        added: dict[str, Entry] = {}
        try:
            with open_layer(path) as archive:
                for member in archive:
                    name = _absolute(member.name)
                    directory, base = posixpath.split(name)
                    if base == _OPAQUE:
                        self._remove(directory, itself=False)
                    elif base.startswith(_WHITEOUT):
                        self._remove(posixpath.join(directory, base.removeprefix(_WHITEOUT)), itself=True)
                    else:
                        added[name] = _entry(archive, member, (added, self.entries), wanted=wanted(name))
        except UNREADABLE as error:
            raise ImageError(
                f"a layer of `{of}` cannot be read: {error}",
                remedy="Choose another base image: only layers compressed by gzip can be read, and this one is"
                " not, or it is damaged",
            ) from error
        for name, entry in added.items():
            if not entry.is_directory and name in self.entries:
                self._remove(name, itself=True)
            self.entries[name] = entry

    def _remove(self, path: str, *, itself: bool) -> None:
        start = f"{path}/"
        for name in [name for name in self.entries if name.startswith(start) or (itself and name == path)]:
            del self.entries[name]


def _absolute(name: str) -> str:
    """The path of a tar file's member. Two slashes at the beginning, which `normpath` keeps, are one."""
    return posixpath.normpath(f"/{name.lstrip('/')}")


def _entry(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    known: Sequence[Mapping[str, Entry]],
    *,
    wanted: bool,
) -> Entry:
    if member.issym():
        return Entry(link=member.linkname)
    if member.islnk():
        target = _absolute(member.linkname)
        return next((entries[target] for entries in known if target in entries), Entry())
    stream = archive.extractfile(member) if member.isfile() and wanted else None
    return Entry(is_directory=member.isdir(), content=stream.read() if stream else None)
