"""Reading and rewriting exact pins, such as `dagster==1!0+dev`, in requirement strings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from builder.project.names import required_name

_PIN: Final = re.compile(r"(?P<before>===?\s*)(?P<version>[^\s,;)*]+)(?![^\s,;)]*\*)")
"""`==` and a version without a wildcard."""

_OPEN: Final = re.compile(r"(?P<name>\s*[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?)\s*(?:===?\s*)?")
"""The beginning of a requirement before its version: name, extras, perhaps `==`."""


def repin(text: str, versions: Mapping[str, str]) -> str:
    """Replace the version in a requirement that exactly pins a package of `versions`; others stay unchanged.

    Extras, marker and spaces are kept. Ranges, wildcards and direct references are not exact pins.
    """
    version = versions.get(required_name(text))
    if version is None:
        return text
    requirement, semicolon, marker = text.partition(";")
    if "@" in requirement:
        return text
    return _PIN.sub(lambda match: match["before"] + version, requirement, count=1) + semicolon + marker


def pin_open(text: str, versions: Mapping[str, str]) -> str | None:
    """Complete the beginning of a requirement, such as `dagster[test]` or `dagster==`, with the package's version.

    None if the text is something else, or its package is not in `versions`.
    """
    match = _OPEN.fullmatch(text)
    version = versions.get(required_name(re.sub(r"=+\s*$", "", text))) if match else None
    return f"{match['name'].rstrip()}=={version}" if match and version else None


def not_satisfied(texts: tuple[str, ...], versions: Mapping[str, str]) -> Iterator[Requirement]:
    """The requirements that are not satisfied by their package's version in `versions`."""
    for text in texts:
        version = versions.get(required_name(text))
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield requirement
