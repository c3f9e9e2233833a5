"""The keys of `dagster_cloud.yaml` that the newest dagster-cloud-cli declares.

Source: `dagster_cloud_cli.config.models`; a test compares both. The server silently accepts misspelt keys.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from builder.errors import Notice, ProjectError
from builder.project.yaml_file import YamlFile

_DEFAULTS: Final = frozenset(
    {"build", "working_directory", "image", "executable_path", "container_context", "agent_queue"}
)

WORKSPACE: Final = frozenset({"defaults", "locations"})
LOCATION: Final = _DEFAULTS | {"location_name", "code_source", "attribute"}
# builder.project.defaults merges more keys of `defaults` than dagster-cloud-cli declares.
DEFAULTS: Final = _DEFAULTS | {"code_source", "attribute"}
CODE_SOURCE: Final = frozenset({"package_name", "module_name", "python_file", "autoload_defs_module_name"})

# Further keys of a location's document, which dagster-cloud-cli writes itself.
_OF_DOCUMENTS: Final = frozenset({"git", "pex_metadata", "defs_state_info"})
_NEAR: Final = 0.7
_PLACES: Final = {
    "the top of the file": WORKSPACE,
    "an entry of `locations`, beside `location_name`": LOCATION,
    "`code_source`": CODE_SOURCE,
}


def check_keys(
    document: YamlFile, key: tuple[str | int, ...], values: Mapping[str, object], known: frozenset[str]
) -> Iterator[Notice]:
    """Yield a notice for each unknown key, which is sent to Dagster Cloud unchanged.

    :param key: where `values` stand in the document.

    Raises ProjectError for a key that belongs elsewhere, or is close to a known one and so probably misspelt.
    """
    for name in sorted(values.keys() - known - _OF_DOCUMENTS):
        where = document.origin(*key, name)
        what = f"`{name}` is not a key that Dagster Cloud knows"
        place = next((place for place, keys in _PLACES.items() if name in keys), None)
        if name == "location_name" and not key:
            remedy = f"Write `locations:` above it, and `- location_name: {values[name]}` below that"
            raise ProjectError(f"{what} here", where=where, remedy=remedy)
        if place and values[name] is not None:
            raise ProjectError(f"{what} here", where=where, remedy=f"Move it: it belongs into {place}")
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near:
            raise ProjectError(what, where=where, remedy=f"Write `{near[0]}`")
        yield Notice(
            f"`{name}` is not a known key of Dagster Cloud; it is passed on: remove it if you do not need it",
            where,
        )
