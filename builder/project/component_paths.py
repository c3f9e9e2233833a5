"""The paths that Dagster's component files (`defs.yaml`) name: of a dbt project, of a replication of Sling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

from builder.project.code_paths import NamedPath

FILES: Final = ("defs.yaml", "component.yaml")

_CLIMBING: Final = re.compile(
    r"(?:^|[\s\"':\[,])(?P<path>(?P<root>\{\{\s*project_root\s*\}\}/)?(?P<rest>(?:\.\./)+[\w./ -]*[\w-]))"
)


def component_paths(text: str, project_root: Path) -> Iterator[NamedPath]:
    """The paths in a component file that lead upwards: `../../x`, and `{{ project_root }}/../x`."""
    for number, line in enumerate(text.splitlines() if "../" in text else (), 1):
        for match in _CLIMBING.finditer(re.sub(r"(^|\s)#.*", "", line)):
            path = project_root / match["rest"] if match["root"] else PurePath(match["rest"])
            yield NamedPath(number, match["path"], path)
