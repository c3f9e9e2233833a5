"""The name of a distribution in a requirement, and in the file name of a wheel or sdist."""

from __future__ import annotations

import re
from typing import Final

from packaging.utils import canonicalize_name

_REQUIREMENT: Final = re.compile(r"\s*([A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?)\s*(?=$|[\[(<>=!~;@])", re.IGNORECASE)


def required_name(requirement: str) -> str:
    """The normalised name at the start of a requirement (PEP 508); empty for a URL, a path or anything else.

    The rest may be invalid for `packaging`, such as `six (>=1.*)` in the metadata of an old wheel.
    """
    match = _REQUIREMENT.match(requirement)
    return canonicalize_name(match[1]) if match else ""


def archive_name(filename: str) -> str:
    """The normalised name in the file name of a wheel or sdist, also in older forms."""
    if filename.endswith(".whl"):
        return canonicalize_name(filename.partition("-")[0])
    return canonicalize_name(re.sub(r"-[^-]+$", "", filename))
