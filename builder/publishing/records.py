"""Records of which deps PEX of the registry belongs to a lock."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Final

LIMIT: Final = 1 << 16
"""Bytes; every record is smaller."""

# Ours and the existing tool's have 40 digits. The name goes into the pex tag, where a colon would separate files.
_DEPS_NAME: Final = re.compile(r"deps-[0-9a-f]{8,64}\.pex")
_VERSION: Final = re.compile(r"[0-9A-Za-z.!+_-]{1,64}")
_SIZE_LIMIT: Final = 1 << 50
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Record:
    """The content of a record.

    :param name: of the deps PEX.
    :param size: in bytes; the existing tool's records do not have it, nor the next.
    :param sha256: of its bytes, hexadecimal.
    """

    name: str
    dagster_version: str
    size: int | None
    sha256: str | None


class InvalidRecordError(Exception):
    """Why a record is not used."""


def record_name(identity: str, tag: str) -> str:
    """The name of the record of a lock's identity under a tag, in the registry."""
    return f"requirements-{identity}-{base64.urlsafe_b64encode(tag.encode()).decode()}.txt"


def parse_record(content: bytes) -> Record:
    """Parse a record; raises InvalidRecordError without quoting it, since anyone who may deploy can write one."""
    if len(content) >= LIMIT:
        raise InvalidRecordError("it is far too large")
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidRecordError("it is not JSON") from None
    if not isinstance(fields, dict):
        raise InvalidRecordError("it is not a JSON object")
    name, version = fields.get("deps_pex_name"), fields.get("dagster_version")
    size, sha256 = fields.get("size"), fields.get("sha256")
    if name is None or version is None:
        raise InvalidRecordError("it is not complete")
    if not isinstance(name, str) or not _DEPS_NAME.fullmatch(name):
        raise InvalidRecordError("it does not name a deps PEX")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise InvalidRecordError("its dagster_version is not a version")
    if size is not None and not (type(size) is int and 0 <= size < _SIZE_LIMIT):
        raise InvalidRecordError("its size is not a number")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise InvalidRecordError("its sha256 is not 64 hexadecimal digits")
    return Record(name, version, size, sha256)
