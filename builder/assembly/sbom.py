"""The SBOM (software bill of materials) of a deps PEX, made once for each PEX file and cached.

The document's bytes depend on nothing but the lock and the wheels: it has no time stamp, and its serial number is
derived from the PEX file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from builder.assembly.contents import PackedDistribution
from builder.resolution.lock import Lock
from builder.system import storage
from builder.system.storage import Artefact

SBOM_VERSION: Final = "1"
"""Part of the cache's keys: increase it when the same PEX file gives another document."""


def sbom(lock: Lock, distributions: Sequence[PackedDistribution], deps: Artefact) -> bytes:
    """The document's bytes, JSON: made once for each PEX file, and kept; raises StorageError.

    :param distributions: what the deps PEX is made of, one for each distribution of the lock.
    """
    key = hashlib.sha256(f"{SBOM_VERSION} {deps.name} {deps.sha256}".encode()).hexdigest()
    place = storage.cache_directory() / "sboms" / key
    kept = storage.kept(place)
    if kept is None:
        # cyclonedx takes 40 ms to import, and a warm build has the document already.
        from builder.assembly.sbom_document import sbom_document  # noqa: PLC0415

        kept = storage.keep(place, "cdx.json", sbom_document(lock, distributions, deps))
    return kept.read_bytes()
