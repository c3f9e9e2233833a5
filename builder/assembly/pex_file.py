"""Turning a zip file into a PEX file: shebang, PEX-INFO and bootstrap code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from builder.assembly.archive import Member, directory, stored
from builder.assembly.bootstrap import IMPORT_HOOK, MAIN, PEX_INFO, bootstrap, set_boot_argument

RESERVED: Final = frozenset({".bootstrap", ".deps", "PEX-INFO", "__main__.py", "__pex__"})
"""First path segments that belong to the format itself."""


def preamble(python_version: str) -> bytes:
    """The bytes before the zip file: a shebang for the Python (`"3.11"`) that the content is for."""
    return f"{_shebang(python_version)}\n".encode()


def frame(
    *,
    python_version: str,
    code_hash: str,
    requirements: Sequence[str] = (),
    distributions: Mapping[str, str] | None = None,
) -> list[Member]:
    """The entries that describe the others: PEX-INFO, `__main__.py` and `__pex__`.

    :param code_hash: of everything that is neither bootstrap nor distribution; receivers use it, the hashes of
        the distributions and the `pex_hash` made of all of them as keys of caches that are never checked, so equal
        hashes must promise equal content.
    :param distributions: from the names of the directories under `.deps/` to their hashes.

    Receivers unpack every distribution that `requirements` pins; `ignore_errors` has them do so although the
    metadata of one asks for another version than there is, or for what is not there: a lock may override it.
    """
    template = bootstrap()
    info = {
        **template.info,
        "code_hash": code_hash,
        "distributions": dict(distributions or {}),
        "ignore_errors": bool(distributions),
        "interpreter_constraints": [f"CPython=={python_version}.*"],
        "requirements": sorted(requirements),
    }
    pex_hash = hashlib.sha256(_json(info)).hexdigest()[:40]
    boot = set_boot_argument(template.boot, "pex_hash", pex_hash)
    boot = set_boot_argument(boot, "has_interpreter_constraints", value=True)
    return [
        stored(PEX_INFO, _json({**info, "pex_hash": pex_hash})),
        stored(MAIN, f"{_shebang(python_version)}\n\n{boot}".encode(), executable=True),
        directory(IMPORT_HOOK.partition("/")[0]),
        stored(IMPORT_HOOK, boot.encode()),
    ]


def _shebang(python_version: str) -> str:
    return f"#!/usr/bin/env python{python_version}"


def _json(info: Mapping[str, object]) -> bytes:
    return json.dumps(info, sort_keys=True).encode()
