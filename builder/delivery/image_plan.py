"""The `--plan` output for images: their layers, and which of them would be uploaded."""

from __future__ import annotations

from collections.abc import Sequence

from builder.assembly.image_deps import dependency_layers
from builder.assembly.wheels import WheelFile
from builder.building.foundation import Foundation, lay_foundation
from builder.delivery.image_uploader import ImageUploader
from builder.delivery.job import Job
from builder.delivery.plan import ImageSteps, Step
from builder.project.location import Location
from builder.resolution.lock import Lock
from builder.resolution.store import store_path
from builder.resolution.wheels import fetch_wheels
from builder.terminal.formatting import counted, size


def image_steps(job: Job, images: ImageUploader | None) -> ImageSteps:
    """What plans the dependencies of images; the layers of a lock are known only where all its wheels are here.

    :param images: None if nothing is uploaded.
    """
    foundations: dict[tuple[str, bool, str], Foundation] = {}

    def step(location: Location, lock: Lock) -> Step:
        distributions = counted(len(lock.distributions), "distribution")
        missing = [dist for dist in lock.distributions if dist.kind != "wheel" or not store_path(dist).exists()]
        if missing:
            known = sum(dist.size or 0 for dist in missing)
            fetched = f"{len(missing)} to fetch" + (f" ({size(known)})" if known else "")
            total = sum(dist.size or 0 for dist in lock.distributions)
            return Step("dependency layers", total, f"{distributions}: built, {fetched}")
        key = (job.images.base_of(location), location.registry is not None, lock.target.description)
        if key not in foundations:
            foundations[key] = lay_foundation(key[0], lock.target, own_registry=key[1], logins=job.images.logins)
        wheels = [WheelFile(file.path, file.sha256) for file in fetch_wheels(lock).values()]
        layers = dependency_layers(wheels, foundations[key].scheme).layers
        there = images.present(location, [layer.content.digest for layer in layers]) if images else frozenset()
        sent = [layer for layer in layers if layer.content.digest not in there]
        total = sum(layer.content.size for layer in layers)
        done = _done(len(layers) - len(sent), [layer.content.size for layer in sent]) if images else "built"
        return Step(f"{len(layers)} dependency layers", total, f"{distributions}: {done}", exact=True)

    return step


def _done(there: int, sent: Sequence[int]) -> str:
    said = [f"{counted(there, 'layer')} there"] if there else []
    if sent:
        said.append(f"{counted(len(sent), 'layer')} sent ({size(sum(sent))})")
    return ", ".join(said)
