"""Adding files to a built source PEX."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from builder.assembly.pex_file import RESERVED
from builder.assembly.source_pex import AssembledSource, SourceEntry, assemble_source_pex


def with_files(pex: Path, files: Mapping[str, bytes], *, python_version: str, out_dir: Path) -> AssembledSource:
    """Write a source PEX that has these files besides or instead of those of another one.

    :param files: by their names in it, such as `working_directory/root/a.txt`.

    Raises as `assemble_source_pex`.
    """
    with zipfile.ZipFile(pex) as archive:
        entries = [_entry(archive, info) for info in archive.infolist() if info.filename not in files]
    kept = [entry for entry in entries if entry.name.partition("/")[0] not in RESERVED]
    added = [SourceEntry(name, 0o644, content) for name, content in files.items()]
    return assemble_source_pex([*kept, *added], python_version=python_version, out_dir=out_dir)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> SourceEntry:
    if info.is_dir():
        return SourceEntry(info.filename.rstrip("/"), 0o755, None)
    mode = 0o755 if info.external_attr >> 16 & 0o100 else 0o644
    return SourceEntry(info.filename, mode, archive.read(info))
