"""The bootstrap code of a PEX file, taken once from an empty PEX that pex's command line makes.

The template is that empty PEX in canonical form: every entry stored, not deflated, so that its bytes are the same
whatever Python and zlib were at hand, and what depends on the machine (the cache directory's place, the shebang)
or on the content (`pex_hash`) replaced. It ships as package data in `builder.pex`; in a source tree it is made on
first use and kept in the builder's cache.

    python -m builder.assembly.bootstrap OUT     writes it (called by build-builder.sh)
"""

from __future__ import annotations

import io
import json
import pkgutil
import re
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from builder.assembly.archive import ArchiveWriter, Member, directory, stored
from builder.errors import ToolError
from builder.system import process, storage

PEX_VERSION: Final = "2.59.5"
"""The last pex whose layout is read by every receiver from 2.1.132 on."""

PEX_INFO: Final = "PEX-INFO"
IMPORT_HOOK: Final = "__pex__/__init__.py"
MAIN: Final = "__main__.py"

_FORMAT: Final = 1
_RESOURCE: Final = "data/bootstrap.pex"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What every PEX file has in common.

    :param members: the code that boots it, directories included (`zipimport` needs them before Python 3.13).
    :param info: PEX-INFO of an empty PEX, without `pex_hash`.
    :param boot: `__pex__/__init__.py`, which lets the file be imported; `__main__.py` is the same below a shebang.
    """

    members: tuple[Member, ...]
    info: dict[str, Any]
    boot: str


@cache
def bootstrap() -> Bootstrap:
    """Load the template, making it first where it did not ship; raises ToolError or StorageError."""
    content = _shipped() or _cached()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return Bootstrap(
            members=tuple(
                directory(info.filename.rstrip("/"))
                if info.is_dir()
                else stored(info.filename, archive.read(info))
                for info in archive.infolist()
                if info.filename not in {PEX_INFO, IMPORT_HOOK}
            ),
            info=json.loads(archive.read(PEX_INFO)),
            boot=archive.read(IMPORT_HOOK).decode(),
        )


def make_bootstrap(path: Path) -> None:
    """Write the template to `path`; raises ToolError if the pex at hand is missing, broken or another version."""
    with storage.scratch_directory() as scratch:
        empty = scratch / "empty.pex"
        process.run_module("pex", ["--output-file", empty], env=pex_environment(scratch / "pex-root"))
        with zipfile.ZipFile(empty) as archive:
            content = {
                info.filename: archive.read(info)
                for info in archive.infolist()
                if info.filename.startswith(".bootstrap/") or info.filename in {PEX_INFO, IMPORT_HOOK}
            }
    info = json.loads(content[PEX_INFO])
    version = info["build_properties"]["pex_version"]
    if version != PEX_VERSION:
        raise ToolError(
            f"pex {version} is installed, but only pex {PEX_VERSION} makes files that every receiver can read",
            remedy=f"Install it into the Python that runs the builder: `pip install pex=={PEX_VERSION}`",
        )
    del info["pex_hash"]
    content[PEX_INFO] = json.dumps(info, sort_keys=True).encode()
    # pex names the cache directory of the platform and the user that it runs for; the receivers' is this one.
    boot = set_boot_argument(content[IMPORT_HOOK].decode(), "pex_root", "~/.cache/pex")
    content[IMPORT_HOOK] = set_boot_argument(boot, "pex_hash", "").encode()
    with storage.atomic_write(path) as stream:
        writer = ArchiveWriter(stream)
        for name in sorted(content):
            writer.add(directory(name.rstrip("/")) if name.endswith("/") else stored(name, content[name]))
        writer.finish()


def pex_environment(pex_root: Path) -> dict[str, str]:
    """The environment in which pex's command line does the same for every caller."""
    return process.clean_environment({"PEX_ROOT": str(pex_root), "PEX_IGNORE_RCFILES": "true"})


def set_boot_argument(boot: str, name: str, value: object) -> str:
    """Replace one keyword argument of the `boot(…)` call that ends `Bootstrap.boot`."""
    replaced, count = re.subn(rf"(?m)^    {name}=.*,$", lambda _: f"    {name}={value!r},", boot)
    if count != 1:
        raise ToolError(f"the bootstrap of pex {PEX_VERSION} does not have exactly one argument `{name}`")
    return replaced


def _shipped() -> bytes | None:
    try:
        return pkgutil.get_data(__package__, _RESOURCE)
    except FileNotFoundError:
        return None


def _cached() -> bytes:
    place = storage.cache_directory() / f"bootstrap-{PEX_VERSION}-{_FORMAT}"
    with storage.exclusive(place.parent / f"{place.name}.lock"):
        kept = storage.kept(place)
        if kept is None:
            with storage.scratch_directory() as scratch:
                made = scratch / "bootstrap.pex"
                make_bootstrap(made)
                kept = storage.keep(place, made.name, made.read_bytes())
    return kept.read_bytes()


if __name__ == "__main__":
    make_bootstrap(Path(sys.argv[1]))
