"""The `--plan` output for images: their layers, and which of them would be uploaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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
    """What plans the layers below the code; those of a lock are known only where all its wheels are here.

    :param images: None if nothing is uploaded.
    """
    foundations: dict[tuple[str, bool, str], Foundation] = {}

    def steps(location: Location, lock: Lock) -> Sequence[Step]:
        distributions = counted(len(lock.distributions), "distribution")
        missing = [dist for dist in lock.distributions if dist.kind != "wheel" or not store_path(dist).exists()]
        if missing:
            known = sum(dist.size or 0 for dist in missing)
            fetched = f"{len(missing)} to fetch" + (f" ({size(known)})" if known else "")
            total = sum(dist.size or 0 for dist in lock.distributions)
            return [Step("dependency layers", total, f"{distributions}: built, {fetched}")]
        key = (job.images.base_of(location), location.registry is not None, lock.target.description)
        if key not in foundations:
            foundations[key] = lay_foundation(key[0], lock.target, own_registry=key[1], logins=job.images.logins)
        wheels = [WheelFile(file.path, file.sha256) for file in fetch_wheels(lock).values()]
        made = dependency_layers(wheels, foundations[key].scheme).layers
        layers = [(layer.content.digest, layer.content.size) for layer in made]
        what, total = counted(len(layers), "dependency layer"), sum(length for _, length in layers)
        if images is None:
            return [Step(what, total, f"{distributions}: built", exact=True)]
        base = [(layer.digest, layer.size) for layer, _file in foundations[key].base.layers]
        there = images.present(location, [digest for digest, _ in (*base, *layers)])
        below = Step("base image", sum(length for _, length in base), _done(base, there), exact=True)
        return [below, Step(what, total, f"{distributions}: {_done(layers, there)}", exact=True)]

    return steps


def _done(layers: Sequence[tuple[str, int]], there: Collection[str]) -> str:
    """How many of these layers, by digest and size, are there, and how many are sent."""
    sent = [length for digest, length in layers if digest not in there]
    said = [f"{counted(len(layers) - len(sent), 'layer')} there"] if len(sent) < len(layers) else []
    if sent:
        said.append(f"{counted(len(sent), 'layer')} sent ({size(sum(sent))})")
    return ", ".join(said)
