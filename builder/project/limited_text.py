"""Reading text files of a project, which may be untrusted, with a limit on their size."""

from __future__ import annotations

from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.terminal.formatting import size


def read_limited(path: Path, limit: int, *, missing: str = "Correct the path") -> str:
    """Read the text of a file.

    :param limit: the maximum size in bytes; parsing a larger file could take minutes.
    :param missing: the remedy where there is no such file.

    Raises ProjectError for a file that is missing, unreadable, not UTF-8, no regular file, or too large.
    """
    content = read_limited_bytes(path, limit, missing=missing)
    try:
        return content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise _unreadable(path, str(error)) from error


def read_limited_bytes(path: Path, limit: int, *, missing: str = "Correct the path") -> bytes:
    """Read the bytes of a text file in any encoding; see `read_limited`."""
    try:
        # Opening a named pipe would wait forever.
        if path.exists() and not path.is_file():
            raise _unreadable(path, "it is not a file")
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except FileNotFoundError:
        raise ProjectError(f"there is no `{path.name}` in `{path.parent}`", remedy=missing) from None
    except (OSError, ValueError) as error:
        # ValueError: a path with a null character.
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unreadable(path, str(reason)) from error
    if len(content) > limit:
        raise ProjectError(
            f"`{path.name}` has more than {size(limit)}, too large for such a file",
            where=Origin(path),
            remedy="Check that it is the right file",
        )
    return content


def _unreadable(path: Path, reason: str) -> ProjectError:
    return ProjectError(f"`{path}` cannot be read: {reason}", remedy="Make it a readable UTF-8 text file")
