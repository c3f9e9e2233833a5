"""Writing the name of a `dg` project into its configuration: its directory has another name on the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

from builder.project.toml_file import TomlFile


def named_config(directory: Path) -> tuple[str, bytes] | None:
    """The configuration of the `dg` project in a directory, with the directory's name written into it.

    On the server each project's directory is called `root`, and dagster would warn repeatedly that this is not the
    name of the location. Returns the file's name and its new content; None if nothing has to be added.
    """
    for name, keys in (("dg.toml", ("project",)), ("pyproject.toml", ("tool", "dg", "project"))):
        path = directory / name
        if not path.is_file():
            continue
        file = TomlFile.load(path)
        project = file.table(*keys)
        heading = re.compile(rf"^\[{re.escape('.'.join(keys))}\][ \t]*(#.*)?$", re.MULTILINE)
        match = heading.search(file.text)
        if "root_module" in project and "code_location_name" not in project and match:
            line = f"\ncode_location_name = {json.dumps(directory.name)}"
            return name, (file.text[: match.end()] + line + file.text[match.end() :]).encode()
    return None
