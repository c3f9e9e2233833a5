"""Writing the SBOM of a package's image, a CycloneDX 1.6 document with the installed wheels.

The base image is one component; its contents are for its publisher to document.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A wheel that is installed in an image.

    :param own: whether it is from the wheelhouse instead of the index.
    """

    name: str
    version: str
    filename: str
    sha256: str
    own: bool


def write_sbom(
    *,
    name: str,
    version: str,
    image_digest: str,
    platform: str,
    base: str,
    base_digest: str,
    wheels: Sequence[Installed],
    epoch: int,
) -> bytes:
    """The document's bytes, which are equal for equal images.

    :param name: of the image's package.
    :param image_digest: of the image's manifest for the platform.
    :param base: the name of the base image.
    :param epoch: seconds since 1970.
    """
    image = Component(
        name=name,
        version=version,
        type=ComponentType.CONTAINER,
        bom_ref=f"image:{image_digest}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image_digest.removeprefix("sha256:"))],
        properties=[
            Property(name="builder:platform", value=platform),
            Property(name="builder:base", value=base),
            Property(name="builder:base-digest", value=base_digest),
        ],
    )
    components = [
        Component(
            name=wheel.name,
            version=wheel.version,
            type=ComponentType.LIBRARY,
            bom_ref=f"wheel:{wheel.filename}",
            purl=PackageURL("pypi", None, wheel.name, wheel.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
            properties=[Property(name="builder:source", value="wheelhouse" if wheel.own else "index")],
        )
        for wheel in wheels
    ]
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, image_digest),
        metadata=BomMetaData(component=image, timestamp=datetime.fromtimestamp(epoch, UTC)),
    )
    bom.register_dependency(image, components)
    return JsonV1Dot6(bom).output_as_string(indent=2).encode()
