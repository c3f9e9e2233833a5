"""Converting a workspace.yaml of `dagster dev` (`dagster._core.workspace`) to a dagster_cloud.yaml."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from builder.errors import Origin, ProjectError
from builder.project.workspace_file import EXAMPLE
from builder.project.yaml_file import YamlFile

# The key in workspace.yaml, the one in dagster_cloud.yaml, and the key of the value in the long form.
_KINDS: Final = {
    "python_file": ("python_file", "relative_path"),
    "python_module": ("module_name", "module_name"),
    "python_package": ("package_name", "package_name"),
}


def refuse_dagster_workspace(path: Path) -> None:
    """Raise ProjectError with the dagster_cloud.yaml to write, if a path is a workspace.yaml of `dagster dev`.

    Dagster Cloud does not read such a file, and it does not have the build directories.
    """
    try:
        document = YamlFile.load(path) if path.is_file() else None
    except ProjectError:
        # Its reader reports the error: the file may be a template that is not YAML yet.
        return
    if document is None or not isinstance(document.data, Mapping) or "load_from" not in document.data:
        return
    entries = document.data["load_from"]
    lines = [line for entry in (entries if isinstance(entries, list) else [entries]) for line in _location(entry)]
    text = "\n".join(["locations:", *lines])
    raise ProjectError(
        f"`{path.name}` is what `dagster dev` reads; Dagster Cloud reads a dagster_cloud.yaml",
        where=Origin(path, document.origin("load_from").line),
        remedy=f"Write `{path.parent / 'dagster_cloud.yaml'}`:\n{text}" if lines else EXAMPLE,
    )


def _location(entry: object) -> Iterator[str]:
    """The lines of a location; none for an entry without code, such as the address of a server."""
    if not isinstance(entry, Mapping):
        return
    kind = next((name for name in _KINDS if name in entry), None)
    if kind is None:
        return
    key, inside = _KINDS[kind]
    given = entry[kind] if isinstance(entry[kind], Mapping) else {inside: entry[kind]}
    source = str(given.get(inside, ""))
    name = given.get("location_name") or (posixpath.basename(source) if key == "python_file" else source)
    yield f"  - location_name: {_scalar(name)}"
    yield f"    code_source: {{{key}: {_scalar(source)}}}"
    for setting in ("working_directory", "attribute"):
        if given.get(setting):
            yield f"    {setting}: {_scalar(given[setting])}"


def _scalar(value: object) -> str:
    text = str(value)
    return text if text.replace("_", "").replace(".", "").replace("/", "").isalnum() else json.dumps(text)
