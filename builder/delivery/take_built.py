"""Delivering what another run of `builder.deploy` built, such as a job of CI that has no secrets."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from builder.assembly.image_source import CODE
from builder.building.image import BuiltImage, image_name
from builder.building.steps import DepsBuild, SourceBuild
from builder.building.workspace import ProjectBuild
from builder.delivery.built_report import read_built
from builder.delivery.job import Job
from builder.delivery.location_run import Format, LocationRun
from builder.errors import BuilderError, ImageError, LoadError, Origin, UsageError
from builder.oci.image import ImageLayer
from builder.oci.layout import read_layout
from builder.project.toml_file import TomlFile, table
from builder.system.storage import Artefact, sha256_of

_FILE: Final = re.compile(r"(deps|source)-[0-9a-f]+\.pex")
"""What may be delivered: nothing outside the output directory, whatever its build.json says."""

_AGAIN: Final = "Transfer the output directory again, or build anew"


def take_built(job: Job, runs: Sequence[LocationRun]) -> None:
    """Take what the output directory holds for the locations; a failure is that of its location.

    Sizes and hashes of the files have to be those of build.json. Raises UsageError if there is no such build.
    """
    path = job.build_json
    report = read_built(path)
    if report.python_version != job.target.python_version:
        raise UsageError(
            f"`{path}` is for Python {report.python_version}, and what is to be delivered for"
            f" {job.target.python_version}",
            remedy="Give both runs the same --python-version or --platform",
        )
    for run in runs:
        try:
            entry = _entry_of(report.entries.get(run.name), run.format, path)
            if run.format == "image":
                run.image = _image_of(run.name, entry["image"], path)
            run.build = _build_of(entry, run.image, path)
        except BuilderError as error:
            run.error = error
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            run.error = LoadError(
                "its entry in build.json is not valid",
                where=Origin(path),
                detail=f"{type(error).__name__}: {error}",
            )


def _entry_of(entry: Mapping[str, Any] | None, wanted: Format, path: Path) -> Mapping[str, Any]:
    if entry is None or "error" in entry:
        failed = entry["error"] if entry else {}
        raise LoadError(
            "it was not built",
            where=Origin(path),
            detail=failed.get("what"),
            remedy=failed.get("remedy") or "Build it first, with `builder.deploy WORKSPACE OUT_DIR`",
        )
    if ("image" in entry) != (wanted == "image"):
        built, needed = ("an image", "PEX files") if wanted == "pex" else ("PEX files", "an image")
        raise LoadError(
            f"it was built as {built}, and {needed} can be delivered",
            where=Origin(path),
            remedy=f"Build it with `builder.deploy WORKSPACE OUT_DIR --format {wanted}`",
        )
    return entry


def _image_of(name: str, entry: Mapping[str, Any], path: Path) -> BuiltImage:
    """The image of a location, every byte of which is what its digest says."""
    place = path.parent / f"image-{image_name(name)}"
    if place.is_symlink() or not place.is_dir():
        raise _not_there(place.name, path)
    try:
        layout = read_layout(place)
        for manifest in layout.manifests():
            document = layout.document(manifest)
            for blob in (*document["layers"], document["config"]):
                layout.whole_blob(blob["digest"])
    except ImageError as error:
        raise LoadError(error.what, where=Origin(path), remedy=_AGAIN) from error
    if layout.image.digest != entry["digest"]:
        raise LoadError(
            f"`{place}` is not the image that was built",
            where=Origin(path),
            detail=f"its digest is {layout.image.digest}, that of build.json {entry['digest']}",
            remedy=_AGAIN,
        )
    layers = [
        ImageLayer(
            path=layout.whole_blob(layer["digest"]),
            digest=str(layer["digest"]),
            size=int(layer["size"]),
            diff_id=str(layer["diff_id"]),
            title=str(layer["title"]),
        )
        for layer in entry["layers"]
    ]
    return BuiltImage(image_name(name), layout, tuple(layers), str(entry["base"]))


def _build_of(entry: Mapping[str, Any], image: BuiltImage | None, path: Path) -> ProjectBuild:
    deps_name = Path(entry["deps"]["file"]).name
    if image:
        deps = Artefact(path.parent / deps_name, int(entry["deps"]["size"]), "", str(entry["deps"]["identity"]))
        code = next(layer for layer in image.layers if layer.title == CODE)
        source = Artefact(code.path, code.size, code.digest, code.digest)
    else:
        deps, source = _artefact(entry["deps"], path), _artefact(entry["source"], path)
    lock = path.parent / f"{deps_name.removesuffix('.pex')}.pylock.toml"
    if not lock.is_file():
        raise _not_there(lock.name, path)
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
        artefact=None if image else deps,
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
        raise _not_there(name, path)
    sha256 = sha256_of(file)
    if sha256 != entry["sha256"]:
        raise LoadError(
            f"`{file}` is not the file that was built",
            where=Origin(path),
            detail=f"its sha256 is {sha256}, that of build.json {entry['sha256']}",
            remedy=_AGAIN,
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


def _not_there(name: str, path: Path) -> LoadError:
    return LoadError(
        f"`{name}` of build.json is not in `{path.parent}`",
        where=Origin(path),
        remedy="Transfer the whole output directory",
    )
