"""Finding dbt projects without a manifest: their assets do not load, and the server does not create it.

See dagster-dbt, `DbtProject` and `DbtProjectComponent`:
`prepare_if_dev` creates it under `dagster dev` only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin
from builder.project.code_paths import paths_given_to
from builder.project.component_paths import FILES
from builder.project.files import ProjectFile

PROJECT: Final = re.compile(rb"\bDbtProject\(")
COMPONENT: Final = re.compile(rb"\bDbtProjectComponent\b")
PREPARE: Final = "dagster-dbt project prepare-and-package"

_USES_MANIFEST: Final = re.compile(rb"\bmanifest_path\b")
_PREPARES: Final = re.compile(
    rb"\.prepare\(|\bprepare_and_package\b|[\"']parse[\"']|DAGSTER_DBT_PARSE_PROJECT_ON_LOAD"
)
"""Calls in code that may create the manifest itself."""

_NO_PART: Final = re.compile(r"(.*/)?(setup|noxfile|conftest|test_[^/]*|[^/]*_test)\.py|(.*/)?tests?/.*")
_OF_COMPONENT: Final = re.compile(
    rb"^\s*(?:project|project_dir):\s*[\"']?(?P<root>\{\{\s*(?:context\.)?project_root\s*\}\}/)?"
    rb"(?P<path>[\w./-]+)[\"']?\s*(?:#.*)?$",
    re.MULTILINE,
)


def missing_manifests(directory: Path, files: Iterable[ProjectFile]) -> Iterator[Notice]:
    """A warning for each dbt project without a manifest that the code in a build directory declares.

    Empty if it is not certain: the code may create the manifest, or none of it reads one.
    """
    texts = {
        file: file.path.read_bytes()
        for file in files
        if file.path
        and file.path.is_file()
        and file.name.endswith((".py", *FILES))
        and not _NO_PART.fullmatch(file.name)
    }
    code = [text for file, text in texts.items() if file.name.endswith(".py")]
    prepares = any(map(_PREPARES.search, code))
    for file, text in texts.items():
        if file.path is None:
            continue
        if file.name.endswith(FILES):
            if COMPONENT.search(text):
                yield from _of_component(directory, file.path, text)
        elif PROJECT.search(text) and not prepares and any(map(_USES_MANIFEST.search, code)):
            yield from _of_code(directory, file.path, text.decode(errors="replace"))


def _of_code(directory: Path, file: Path, text: str) -> Iterator[Notice]:
    for line, given in paths_given_to("dagster_dbt.DbtProject", ("project_dir",), text, file, directory):
        # An unknown path is in none of these.
        unsure = {"**"} | {name for name, path in given.items() if path is None}
        if "project_dir" not in given or not unsure.isdisjoint(given):
            continue
        packaged = given.get("packaged_project_dir")
        place = directory / (
            packaged if packaged and (directory / packaged).exists() else given["project_dir"] or ""
        )
        if manifest := _missing(place, str(given.get("target_path") or "target")):
            yield _notice(manifest, f"{PREPARE} --file {os.path.relpath(file)}", Origin(file, line))


def _of_component(directory: Path, file: Path, text: bytes) -> Iterator[Notice]:
    match = _OF_COMPONENT.search(text)
    # In CI a deploy makes it (`delivery/deliver.py`), as the state of the component.
    if match is None or os.environ.get("CI") == "true" or any(directory.rglob(".local_defs_state/DbtProject*")):
        return
    base = directory if match["root"] else file.parent
    if manifest := _missing(base / match["path"].decode(), "target"):
        line = text.count(b"\n", 0, match.start("path")) + 1
        yield _notice(manifest, f"{PREPARE} --components {os.path.relpath(directory)}", Origin(file, line))


def _missing(project: Path, target: str) -> Path | None:
    """The path of the missing manifest of an existing dbt project; None otherwise."""
    manifest = project / target / "manifest.json"
    there = (project / "dbt_project.yml").is_file()
    return Path(os.path.normpath(manifest)) if there and not manifest.exists() else None


def _notice(manifest: Path, command: str, where: Origin) -> Notice:
    text = f"dbt's `{manifest}` is missing, and no server makes it: run `{command}` before the build"
    return Notice(text, where)
