"""What the layers of an image hold, not unpacked (image-spec 1.1, "Image Layer Filesystem Changeset")."""

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
"""Links that lead from one to the next, as many as the kernel follows."""


UNREADABLE: Final = (tarfile.TarError, EOFError, zlib.error, OSError)
"""What reading a damaged layer raises."""


@contextlib.contextmanager
def open_layer(path: Path) -> Iterator[tarfile.TarFile]:
    """A layer to be read once from its beginning to its end: a tar file, compressed by gzip or not at all.

    `tarfile` itself reads only the first member of a gzip file with several, and says nothing.
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

    :param link: what a symbolic link points to; None for anything else.
    :param content: of a file that was asked for.
    """

    link: str | None = None
    is_directory: bool = False
    content: bytes | None = None


@dataclass(slots=True)
class Filesystem:
    """The files of an image by their paths, which are absolute."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def resolve(self, path: str) -> str | None:
        """The path of what a path leads to, symbolic links followed; None if it leads nowhere."""
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
        """The content of a file that was asked for; None if it is not there."""
        resolved = self.resolve(path)
        return self.entries[resolved].content if resolved else None

    def below(self, directory: str) -> list[str]:
        """The paths of the files below a directory, sorted."""
        start = f"{directory}/"
        return sorted(
            path for path, entry in self.entries.items() if path.startswith(start) and not entry.is_directory
        )

    def add_layer(self, path: Path, wanted: Callable[[str], bool], of: str) -> None:
        """Lay one more layer over what is there.

        :param path: of the layer's file, a tar file, compressed by gzip or not at all.
        :param wanted: whether the content of a file, by its path, is to be kept.
        :param of: what the image is called, for messages.

        Raises ImageError for a layer that cannot be read.
        """
        added: dict[str, Entry] = {}
        try:
            with open_layer(path) as archive:
                for member in archive:
                    name = posixpath.normpath(f"/{member.name}")
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
        target = posixpath.normpath(f"/{member.linkname}")
        return next((entries[target] for entries in known if target in entries), Entry())
    stream = archive.extractfile(member) if member.isfile() and wanted else None
    return Entry(is_directory=member.isdir(), content=stream.read() if stream else None)
