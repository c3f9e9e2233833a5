"""Exact pins between packages, such as `dagster==1!0+dev`, in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from builder.project.names import required_name

_PIN: Final = re.compile(r"(?P<before>===?\s*)(?P<version>[^\s,;)*]+)(?![^\s,;)]*\*)")
"""`==` and its version, but not `==1.13.*`."""

_OPEN: Final = re.compile(r"(?P<name>\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?)\s*(?:===?\s*)?")
"""A requirement whose version is still to come: the name, extras, perhaps `==`."""


def repin(text: str, versions: Mapping[str, str]) -> str:
    """The requirement with the new version where it pins one of `versions` exactly, otherwise as it is.

    Extras, marker and blanks stay. Ranges, wildcards and direct references are no pins.
    """
    version = versions.get(required_name(text))
    if version is None:
        return text
    requirement, semicolon, marker = text.partition(";")
    if "@" in requirement:
        return text
    return _PIN.sub(lambda match: match["before"] + version, requirement, count=1) + semicolon + marker


def pin_open(text: str, versions: Mapping[str, str]) -> str | None:
    """The beginning of a requirement, such as `dagster[test]` or `dagster==`, with the version that it waits for.

    None if it is not the beginning of one of `versions`, or goes on behind where the version belongs.
    """
    match = _OPEN.fullmatch(text)
    version = versions.get(required_name(re.sub(r"=+\s*$", "", text))) if match else None
    return f"{match['name'].rstrip()}=={version}" if match and version else None


def not_satisfied(texts: tuple[str, ...], versions: Mapping[str, str]) -> Iterator[Requirement]:
    """The requirements that the version of their package in `versions` does not satisfy."""
    for text in texts:
        version = versions.get(required_name(text))
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield requirement
