"""Delivering what another run of `builder.deploy` built, such as a job of CI that has no secrets."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from builder.building.steps import DepsBuild, SourceBuild
from builder.building.workspace import ProjectBuild
from builder.delivery.job import Job
from builder.delivery.location_run import LocationRun
from builder.errors import BuilderError, LoadError, Origin, ProjectError, UsageError
from builder.project.limited_text import read_limited
from builder.project.toml_file import TomlFile, table
from builder.system.storage import Artefact, sha256_of

_FILE: Final = re.compile(r"(deps|source)-[0-9a-f]+\.pex")
"""What may be delivered: nothing outside the output directory, whatever its build.json says."""

_MOST_BYTES: Final = 20_000_000
"""Of build.json; a location has two thousand."""


def take_built(job: Job, runs: Sequence[LocationRun]) -> None:
    """Take what the output directory holds for the locations; a failure is that of its location.

    Sizes and hashes of the files have to be those of build.json. Raises UsageError if there is no such build.
    """
    path = job.build_json
    try:
        report = json.loads(read_limited(path, _MOST_BYTES))
        entries = {str(entry["name"]): entry for entry in report["locations"]}
        version = report["python_version"]
    except (ProjectError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"`{path}` is not there, or not what builder.deploy writes",
            detail=str(error),
            remedy="Build first, with `builder.deploy WORKSPACE OUT_DIR`, or leave out --built",
        ) from error
    if version != job.target.python_version:
        raise UsageError(
            f"`{path}` is for Python {version}, and what is to be delivered for {job.target.python_version}",
            remedy="Give both runs the same --python-version or --platform",
        )
    for run in runs:
        try:
            run.build = _build_of(entries.get(run.name), path)
        except BuilderError as error:
            run.error = error
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            run.error = LoadError(
                "its entry in build.json is not valid",
                where=Origin(path),
                detail=f"{type(error).__name__}: {error}",
            )


def _build_of(entry: Mapping[str, Any] | None, path: Path) -> ProjectBuild:
    if entry is None or "error" in entry:
        failed = entry["error"] if entry else {}
        raise LoadError(
            "it was not built",
            where=Origin(path),
            detail=failed.get("what"),
            remedy=failed.get("remedy") or "Build it first, with `builder.deploy WORKSPACE OUT_DIR`",
        )
    if "image" in entry:
        raise LoadError(
            "it was built as an image, which --built does not take",
            where=Origin(path),
            remedy="Leave out --built: what did not change is taken from the cache and from the registry",
        )
    deps, source = _artefact(entry["deps"], path), _artefact(entry["source"], path)
    lock = path.parent / entry["deps"]["file"].replace(".pex", ".pylock.toml")
    packages = TomlFile.load(lock).data.get("packages")
    versions = {
        str(table(package)["name"]): str(table(package).get("version", ""))
        for package in (packages if isinstance(packages, list) else [])
    }
    deps_build = DepsBuild(
        name=deps.name,
        size=deps.size,
        sha256=deps.sha256,
        identity=deps.identity,
        artefact=deps,
        lock=lock,
        versions=versions,
        dagster_version=str(entry["dagster_version"]),
        seconds={},
    )
    return ProjectBuild(
        deps_build, SourceBuild(artefact=source, files=int(entry["source"]["files"]), seconds={}), {}
    )


def _artefact(entry: Mapping[str, Any], path: Path) -> Artefact:
    """A file of build.json that is what it says.

    It goes out under a name of its content: by the name that another job gave it, it could take the place of a
    file that production runs.
    """
    name = str(entry["file"])
    file = path.parent / name
    if not _FILE.fullmatch(name) or file.is_symlink() or not file.is_file():
        raise LoadError(
            f"`{name}` of build.json is not in `{path.parent}`",
            where=Origin(path),
            remedy="Transfer the whole output directory",
        )
    sha256 = sha256_of(file)
    if sha256 != entry["sha256"]:
        raise LoadError(
            f"`{file}` is not the file that was built",
            where=Origin(path),
            detail=f"its sha256 is {sha256}, that of build.json {entry['sha256']}",
            remedy="Transfer the output directory again, or build anew",
        )
    named = file.with_name(f"{name.partition('-')[0]}-{sha256[:40]}.pex")
    if named != file:
        named.unlink(missing_ok=True)
        try:
            named.hardlink_to(file)
        except OSError:
            # A file system without links.
            shutil.copyfile(file, named)
    return Artefact(named, named.stat().st_size, sha256, sha256)
