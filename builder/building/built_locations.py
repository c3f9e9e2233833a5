"""Reading build.json: the locations that were built, for the commands that verify or preview them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from builder.errors import LoadError, Origin, ProjectError, UnknownLocationError, UsageError
from builder.project.location import CodeSource, Location
from builder.project.workspace import read_workspace
from builder.verification.verify import ToVerify, VerifyResult

_BUILD_FIRST: Final = "Build first: builder.pex -m builder.deploy WORKSPACE OUT_DIR"


def built_locations(out_dir: Path, names: Sequence[str]) -> tuple[list[ToVerify], dict[str, VerifyResult]]:
    """The locations that `builder.deploy` built, and the errors of those that it could not build."""
    path = out_dir.absolute() / "build.json"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(entry["name"]): entry for entry in report["locations"]}
        workspace, python_version = Path(report["workspace"]), str(report["python_version"])
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"there is no `{path}`", remedy=_BUILD_FIRST) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(path, error) from error
    for name in names:
        if name not in entries:
            raise UnknownLocationError(name, path, entries)
    declared = {location.name: location for location in _locations(workspace)}
    items: list[ToVerify] = []
    failed: dict[str, VerifyResult] = {}
    for name, entry in entries.items():
        if names and name not in names:
            continue
        try:
            if "error" in entry:
                failed[name] = LoadError(
                    "it was not built", detail=entry["error"]["what"], remedy=entry["error"]["remedy"]
                )
            else:
                items.append(_item(path.parent, entry, python_version, declared.get(name), workspace))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unusable(path, error) from error
    return items, failed


def _unusable(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"`{path}` is not what builder.deploy writes: {type(error).__name__}: {error}", remedy=_BUILD_FIRST
    )


def _item(
    out: Path, entry: Mapping[str, Any], python_version: str, declared: Location | None, workspace: Path
) -> ToVerify:
    ((kind, value),) = entry["code_source"].items()
    image = out / entry["image"]["layout"] if "image" in entry else None
    return ToVerify(
        name=entry["name"],
        source=image or out / entry["source"]["file"],
        deps=image or out / entry["deps"]["file"],
        python_version=python_version,
        code=CodeSource(kind, value, entry.get("attribute"), entry.get("working_directory")),
        deps_sha256=entry["deps"]["sha256"],
        directory=Path(entry["directory"]),
        project=Path(entry["project"]),
        declared=declared.origin if declared else Origin(workspace),
        lines=declared.lines if declared else {},
        is_image=image is not None,
    )


def _locations(workspace: Path) -> tuple[Location, ...]:
    """The locations as they are declared now; none if the workspace cannot be read any more."""
    try:
        return read_workspace(workspace).locations
    except ProjectError:
        return ()
