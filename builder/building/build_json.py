"""Writing build.json, the machine-readable report of a build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from builder import __version__
from builder.building.contents_table import largest
from builder.building.steps import DepsBuild
from builder.building.workspace import ProjectBuild
from builder.errors import BuilderError
from builder.project.location import Location, Workspace
from builder.resolution.target import Target
from builder.system.storage import Artefact

if TYPE_CHECKING:
    from builder.building.image import BuiltImage

_LOADING: Final = ("working_directory", "attribute", "executable_path")
"""Settings that say how the server loads a location."""


_LARGEST: Final = 5
"""Distributions of a deps PEX that are listed."""


def build_report(
    workspace: Workspace,
    results: Mapping[str, ProjectBuild | BuilderError],
    target: Target,
    images: Mapping[str, BuiltImage],
) -> dict[str, object]:
    """The content of build.json: what was built, or the error, and what is needed to load it.

    :param results: by the names of the locations.
    :param images: those of locations that became images, by the same.
    """
    return {
        "builder_version": __version__,
        "workspace": str(workspace.path),
        "python_version": target.python_version,
        "platform": target.description,
        "locations": [
            _location_report(location, location.problem or results[location.name], images.get(location.name))
            for location in workspace.locations
        ],
    }


def _location_report(
    location: Location, result: ProjectBuild | BuilderError, image: BuiltImage | None
) -> dict[str, object]:
    directory, project = location.tree
    head: dict[str, object] = {
        "name": location.name,
        "directory": str(directory),
        "project": str(project),
        "code_source": dict([location.code_source]),
        **{key: location.settings[key] for key in _LOADING if location.settings.get(key) is not None},
        "settings": dict(location.settings),
        **({} if location.registry is None else {"registry": location.registry}),
    }
    if isinstance(result, BuilderError):
        return {**head, "error": described_error(result)}
    return {
        **head,
        **({"image": _image_report(image)} if image else {"pex_tag": result.pex_tag}),
        "deps": _deps_report(result.deps),
        "source": {
            **_artefact_report(result.source.artefact),
            "unpacked_size": result.source.unpacked_size,
            "files": result.source.files,
        },
        "lock": result.deps.lock.name,
        "sbom": result.deps.sbom.name if result.deps.sbom else None,
        "dagster_version": result.deps.dagster_version,
        "seconds": {step: round(seconds, 3) for step, seconds in result.seconds.items()},
    }


def described_error(error: BuilderError) -> dict[str, str | None]:
    """An error as JSON reports have it."""
    return {"what": error.what, "where": str(error.where) if error.where else None, "remedy": error.remedy}


def _deps_report(deps: DepsBuild) -> dict[str, object]:
    return {
        "file": deps.name,
        "size": deps.size,
        "unpacked_size": deps.unpacked_size,
        "sha256": deps.sha256,
        "identity": deps.identity,
        "distributions": len(deps.versions),
        "built": deps.built,
        "largest": [
            {
                "name": dist.project,
                "version": dist.version,
                "size": dist.packed,
                "unpacked_size": dist.unpacked,
            }
            for dist in largest(deps.distributions)[:_LARGEST]
        ],
    }


def _image_report(image: BuiltImage) -> dict[str, object]:
    return {
        "layout": image.layout.path.name,
        "digest": image.digest,
        "base": image.base,
        "platforms": [manifest.platform for manifest in image.layout.manifests()],
        "layers": [
            {"title": layer.title, "digest": layer.digest, "size": layer.size, "diff_id": layer.diff_id}
            for layer in image.layers
        ],
    }


def _artefact_report(artefact: Artefact) -> dict[str, object]:
    return {
        "file": artefact.name,
        "size": artefact.size,
        "sha256": artefact.sha256,
        "identity": artefact.identity,
    }
