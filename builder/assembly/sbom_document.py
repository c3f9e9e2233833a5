"""Writing a CycloneDX 1.6 document of a deps PEX: versions, hashes, licences and dependencies.

The format: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id, is_expression
from packageurl import PackageURL
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from builder.assembly.contents import PackedDistribution
from builder.project.names import required_name
from builder.resolution.lock import Distribution, Lock
from builder.system.graph import reachable
from builder.system.storage import Artefact

_CLASSIFIER: Final = "License :: "
# Those that mean one licence. "BSD License" and "Apache Software License" may be any of several (PEP 639).
_IDS: Final = {
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
_OWN_LICENCE: Final = re.compile(r"(DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+")
_LONGEST_NAME: Final = 100
_LONGEST_EXPRESSION: Final = 500


def sbom_document(lock: Lock, distributions: Sequence[PackedDistribution], deps: Artefact) -> bytes:
    """The document's bytes, JSON; see `sbom`."""
    locked = {dist.name: dist for dist in lock.distributions}
    components = {dist.project: _component(dist, locked[dist.project]) for dist in distributions}
    needs = dict(_needs(distributions, lock.target.markers))
    root = Component(
        name=deps.name,
        version=deps.identity,
        type=ComponentType.FILE,
        bom_ref=deps.name,
        # Several layers of an image have none in common.
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=deps.sha256)] if deps.sha256 else [],
        properties=[Property(name="builder:target", value=lock.target.description)],
    )
    bom = Bom(
        components=components.values(),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, deps.sha256 or deps.identity),
        metadata=BomMetaData(component=root),
    )
    bom.register_dependency(root, [components[name] for name in _roots(needs)])
    for name, needed in needs.items():
        bom.register_dependency(components[name], [components[requirement] for requirement in needed])
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The format does not need it, but the library always writes it.
    del document["metadata"]["timestamp"]
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _component(packed: PackedDistribution, locked: Distribution) -> Component:
    purl = PackageURL("pypi", None, packed.project, packed.version)
    commit = locked.kind == "git"
    return Component(
        name=packed.project,
        version=packed.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=[] if commit else [HashType(alg=HashAlgorithm.SHA_256, content=locked.digest)],
        licenses=_licences(packed.metadata),
        properties=[
            Property(name="builder:file", value=locked.filename),
            *([Property(name="builder:commit", value=locked.digest)] if commit else []),
        ],
    )


def _licences(metadata: Mapping[str, Sequence[str]]) -> list[License]:
    """A distribution's licence: its expression (PEP 639) or, in older metadata, the closest equivalent."""
    declared = LicenseAcknowledgement.DECLARED
    [free_text] = metadata.get("license", ("",))[:1]
    for text in (*metadata.get("license-expression", ()), _IDS.get(free_text, free_text)):
        kind, value = _spdx(text)
        if kind == "id":
            return [DisjunctiveLicense(id=value, acknowledgement=declared)]
        if kind == "expression":
            return [LicenseExpression(value=value, acknowledgement=declared)]
    classifiers = [text for text in metadata.get("classifier", ()) if text.startswith(_CLASSIFIER)]
    names = [text.rpartition(" :: ")[2] for text in classifiers if text.count(" :: ") > 1]
    if not names and 0 < len(free_text) <= _LONGEST_NAME and free_text != "UNKNOWN":
        names = [free_text]
    return [
        DisjunctiveLicense(id=_IDS[name], acknowledgement=declared)
        if name in _IDS
        else DisjunctiveLicense(name=name, acknowledgement=declared)
        for name in dict.fromkeys(names)
    ]


@functools.cache
def _spdx(text: str) -> tuple[str, str]:
    """Whether a text is an SPDX `id` or `expression`, else "", and how it is spelled."""
    if identifier := fixup_id(text):
        return "id", identifier
    # The library knows the listed licences only, an expression may refer to others.
    listed = _OWN_LICENCE.sub("MIT", text)
    return ("expression", text) if 0 < len(text) <= _LONGEST_EXPRESSION and is_expression(listed) else ("", text)


def _needs(
    distributions: Sequence[PackedDistribution], markers: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each project with those of the others that it needs on the target.

    Metadata does not record which extras were installed: one counts if all of its requirements are present.
    """
    there = {dist.project for dist in distributions}
    for dist in distributions:
        always, optional = _requirements(dist.metadata.get("requires-dist", ()), markers)
        extras = (names for names in optional.values() if names <= there)
        yield dist.project, tuple(sorted(always.union(*extras).intersection(there) - {dist.project}))


def _requirements(lines: Sequence[str], markers: Mapping[str, str]) -> tuple[set[str], dict[str, set[str]]]:
    """The names that hold on a target without any extra, and those that each extra adds."""
    always: set[str] = set()
    optional: dict[str, set[str]] = {}
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            # Such as `six (>=1.*)` of an old wheel, which resolvers understand all the same.
            if ";" not in line and (lenient := required_name(line)):
                always.add(lenient)
            continue
        name, marker = canonicalize_name(requirement.name), requirement.marker
        if marker is None or marker.evaluate({**markers, "extra": ""}):
            always.add(name)
            continue
        for extra in set(re.findall(r"extra\s*==\s*['\"]([^'\"]+)", line)):
            if marker.evaluate({**markers, "extra": extra}):
                optional.setdefault(extra, set()).add(name)
    return always, optional


def _roots(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Projects from which all others are reachable: those that no other needs, and one of each cycle."""
    needed = {name for names in needs.values() for name in names}
    roots: list[str] = []
    reached: set[str] = set()
    for name in sorted(needs, key=lambda name: (name in needed, name)):
        if name not in reached:
            roots.append(name)
            reached |= reachable([name], needs)
    return roots
