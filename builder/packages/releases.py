"""Finding the releases of a repository's packages in versions, CHANGES.md or git tags."""

from __future__ import annotations

import re
from typing import Final

from builder.errors import PackagesError
from builder.packages import git
from builder.packages.discover import Repository
from builder.packages.versions import core_version, release_minor, tagged_release

_HEADING: Final = re.compile(r"(?m)^##\s+v?(\d+\.\d+\.\d+\S*)")


def releases_of(repository: Repository) -> list[str]:
    """The core versions of the repository's releases, from the first source that has any.

    The sources are the declared versions (in a release commit), the headings of CHANGES.md, and the git tags.
    Raises PackagesError if none has a release.
    """
    changes = repository.root / "CHANGES.md"
    headings = changes.read_text(encoding="utf-8", errors="replace") if changes.is_file() else ""
    sources = (
        [package.version or "" for package in repository.packages],
        _HEADING.findall(headings),
        [release for tag in git.tags(repository.root) if (release := tagged_release(tag))],
    )
    for source in sources:
        if releases := [core_version(version) for version in source if release_minor(version) is not None]:
            return releases
    raise PackagesError(
        f"nothing in `{repository.root}` says what the last release was: no version, no CHANGES.md, no tag",
        remedy="Fetch the tags (`fetch-depth: 0` of actions/checkout), or write --scheme manual --version 1.2.3",
    )
