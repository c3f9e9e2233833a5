"""Comparing a file of the PEX registry with the local one: by size, end and the store's MD5, or by all bytes."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Final

from builder.publishing.transfer import TAIL, PresignedUrl, RemoteObject, Transfers, changed, unreadable
from builder.system.http import Deadline, HttpError
from builder.system.storage import Artefact

_READINGS: Final = 3
_SMALL: Final = 1 << 23
"""Bytes: a file of at most this size, as source PEX files are, is read whole if the store says no MD5 of it."""


class ReadBack(Enum):
    """How a file in the registry is compared with the local file.

    TAIL: by size, tail and the store's MD5; by all its bytes if that MD5 is another one, or if it is small and the
        store says none.
    FULL: always by all its bytes.
    """

    TAIL = "tail"
    FULL = "full"


def certain_difference(
    transfers: Transfers, file: Artefact, link: PresignedUrl, deadline: Deadline, check: ReadBack
) -> str | None:
    """How the registry's file differs from ours, as `compare`; raises HttpError also where two readings differ.

    Locations may run the file in the registry, and the new upload may be damaged. So a file is never replaced
    because it could not be read, or because a reading was wrong.
    """
    difference, stored = compare(transfers, file, link, deadline, check)
    if difference is None:
        return None
    difference, again = compare(transfers, file, link, deadline, check)
    if difference is None or stored == again:
        return difference
    raise HttpError("what the registry has is read differently each time")


def compare(
    transfers: Transfers,
    file: Artefact,
    link: PresignedUrl,
    deadline: Deadline,
    check: ReadBack,
    *,
    sent: bool = False,
) -> tuple[str | None, RemoteObject | None]:
    """How the registry's file differs from ours, as text, None if it is the same; and what was read of it.

    Raises HttpError, also if what was read is not what the store says it has, and ChangedError if our file is
    not what was built.

    :param sent: whether it was sent just now.
    """
    tail = _local_tail(file)
    whole = check is ReadBack.FULL
    for _ in range(_READINGS):
        stored = transfers.stat(link, deadline, size=file.size, whole=whole, renewals=1 if sent else 0)
        difference = _difference(file, tail, stored)
        if stored is None or (difference is None and stored.sha256):
            return difference, stored
        said_whole = stored.md5 is not None and stored.md5 == _md5(file)
        enough = said_whole or (stored.md5 is None and not sent and file.size > _SMALL)
        if difference is None and enough:
            return None, stored
        if difference and not said_whole:
            return difference, stored
        whole = True
    raise HttpError(
        "the registry says that it has it whole, but other bytes arrive here",
        remedy="Check that no proxy between this machine and the registry changes them, then run it again",
    )


def _local_tail(file: Artefact) -> bytes:
    """The last bytes of a file on this disk; raises HttpError if it is not what was built."""
    try:
        with file.path.open("rb") as stream:
            if stream.seek(0, 2) != file.size:
                raise changed(file.path)
            stream.seek(max(0, file.size - TAIL))
            return stream.read()
    except OSError as error:
        raise unreadable(file.path, error) from None


def _md5(file: Artefact) -> str:
    """The MD5 of a file on this disk, hexadecimal; raises ChangedError if it cannot be read."""
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise unreadable(file.path, error) from None


def _difference(file: Artefact, tail: bytes, stored: RemoteObject | None) -> str | None:
    """How the registry's file differs from ours, as text."""
    if stored is None:
        return "the registry does not have it"
    if stored.size != file.size:
        return f"the registry has {stored.size} bytes of {file.size}"
    if stored.tail != tail:
        return "its end differs in the registry"
    if stored.sha256 not in {None, file.sha256}:
        return "its content differs in the registry"
    return None
