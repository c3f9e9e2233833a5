"""A layer of an image: its file and what was written there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LayerContent:
    """What was written.

    :param digest: `sha256:…` of the compressed bytes.
    :param size: of the same, in bytes.
    :param diff_id: `sha256:…` of the tar file.
    :param unpacked: bytes of the files in it.
    """

    digest: str
    size: int
    diff_id: str
    unpacked: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in a file of its own.

    :param title: what is in it, for people.
    """

    path: Path
    content: LayerContent
    title: str
