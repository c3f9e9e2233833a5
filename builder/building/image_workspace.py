"""Building the images of the locations of a workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from builder.building.foundation import Foundation, lay_foundation
from builder.building.image import BuiltImage, ImagePacking, write_location_image
from builder.building.image_settings import ImageSettings
from builder.building.workspace import ProjectBuild, build_workspace
from builder.deployment.git import read_checkout
from builder.errors import BuilderError, ToolError
from builder.project.location import Location, Workspace
from builder.project.requirements import RequestedExtras
from builder.resolution.target import Target
from builder.system import storage
from builder.terminal.console import console


def build_images(
    workspace: Workspace,
    targets: Sequence[Target],
    out_dir: Path,
    *,
    settings: ImageSettings,
    include: Sequence[str],
    wanted: RequestedExtras,
) -> dict[str, tuple[ProjectBuild, BuiltImage] | BuilderError]:
    """Build the image of every location of a workspace; what became of each, by name.

    :param targets: what the images are for: of several, each location gets one index of images.

    A location that fails does not stop the others: its error is in the result. Of several targets, the first one's
    build stands for all.
    """
    results: dict[str, tuple[ProjectBuild, BuiltImage] | BuilderError] = {}
    groups: dict[tuple[str, bool], list[Location]] = {}
    for location in workspace.locations:
        groups.setdefault((settings.base_of(location), location.registry is not None), []).append(location)
    labels = _checkout_labels(workspace.path.parent)
    with storage.scratch_directory(out_dir) as scratch:
        for (base, own_registry), locations in groups.items():
            try:
                foundations = [
                    lay_foundation(base, target, own_registry=own_registry, logins=settings.logins)
                    for target in targets
                ]
            except BuilderError as error:
                results |= dict.fromkeys([location.name for location in locations], error)
                continue
            part = replace(workspace, locations=tuple(locations))
            built = [
                (
                    foundation,
                    build_workspace(part, _packing(foundation, out_dir, scratch), include=include, wanted=wanted),
                )
                for foundation in foundations
            ]
            for location in locations:
                outcomes = [
                    (foundation, location.problem or builds[location.tree]) for foundation, builds in built
                ]
                results[location.name] = _compose(location, outcomes, out_dir, labels)
    return results


def _packing(foundation: Foundation, out_dir: Path, scratch: Path) -> ImagePacking:
    return ImagePacking(foundation, out_dir, scratch / foundation.target.markers["platform_machine"])


def _compose(
    location: Location,
    outcomes: Sequence[tuple[Foundation, ProjectBuild | BuilderError]],
    out_dir: Path,
    labels: Mapping[str, str],
) -> tuple[ProjectBuild, BuiltImage] | BuilderError:
    builds: list[tuple[Foundation, ProjectBuild]] = []
    for foundation, outcome in outcomes:
        if isinstance(outcome, BuilderError):
            return outcome
        builds.append((foundation, outcome))
    try:
        with console.step(f"image of `{location.name}`"):
            return builds[0][1], write_location_image(location, builds, out_dir, labels)
    except BuilderError as error:
        return error


def _checkout_labels(directory: Path) -> dict[str, str]:
    """The labels of images that are built from a checkout: where it comes from, and its commit.

    :param directory: of the workspace; what git cannot tell of it is left out.
    """
    try:
        checkout = read_checkout(directory)
    except ToolError:
        return {}
    labels = {
        "org.opencontainers.image.source": checkout.origin.url if checkout.origin else None,
        "org.opencontainers.image.revision": checkout.commit.hash if checkout.commit else None,
    }
    return {name: value for name, value in labels.items() if value}
