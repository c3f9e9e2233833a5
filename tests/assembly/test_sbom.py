"""The SBOM beside a deps PEX: what it says of wheels of every age, held against the format's own schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.commands import DAGSTER, Workshop
from tests.support.wheels import make_wheel

PURL = "pkg:pypi/{}@{}"


def sbom(out: Path) -> dict[str, Any]:
    """The one SBOM in a directory, which must be a valid one."""
    (path,) = out.glob("deps-*.cdx.json")
    text = path.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict[str, Any] = json.loads(text)
    return document


def put(place: Workshop, name: str, *headers: str, version: str = "1.0") -> None:
    """Put a wheel on the shelf whose METADATA has these headers."""
    metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers])
    files = {f"{name}.py": "", f"{name}-{version}.dist-info/METADATA": f"{metadata}\n\nA text.\n"}
    make_wheel(place.index.directory, files, name=name, version=version)


def build(place: Workshop, *names: str) -> dict[str, Any]:
    lines = "\n".join(("dagster", "dagster-cloud", *names))
    place.build(place.project({"requirements.txt": f"{lines}\n"})).succeeded()
    return sbom(place.out)


def test_it_names_what_the_lock_names(place: Workshop) -> None:
    document = build(place)
    (lock,) = place.out.glob("deps-*.pylock.toml")
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["packages"]
    assert {component["purl"]: component["hashes"] for component in document["components"]} == {
        PURL.format(package["name"], package["version"]): [
            {"alg": "SHA-256", "content": package["wheels"][0]["hashes"]["sha256"]}
        ]
        for package in packages
    }
    (deps,) = place.out.glob("deps-*.pex")
    assert document["metadata"]["component"]["name"] == deps.name
    assert "timestamp" not in document["metadata"]


def test_licences_as_distributions_of_every_age_tell_them(place: Workshop) -> None:
    osi = "Classifier: License :: OSI Approved ::"
    told: dict[str, tuple[tuple[str, ...], list[str]]] = {
        "one": (("License-Expression: MIT", f"{osi} BSD License"), ["MIT"]),
        "several": (("License-Expression: Apache-2.0 OR MIT",), ["Apache-2.0 OR MIT"]),
        "invented": (("License-Expression: LicenseRef-Ours",), ["LicenseRef-Ours"]),
        "identifier": (("License: mit", f"{osi} BSD License"), ["MIT"]),
        "known": (("License: Apache License, Version 2.0",), ["Apache-2.0"]),
        "classified": ((f"{osi} MIT License", f"{osi} BSD License"), ["BSD License", "MIT"]),
        # The lines of its text are indented, an empty one too; what follows it counts all the same.
        "text": (("License: All of", "        ", "        this", f"{osi} ISC License (ISCL)"), ["ISC"]),
        "own": (("License: Ask us",), ["Ask us"]),
        "longwinded": ((f"License: {'You may not. ' * 20}",), []),
        "unknown": (("License: UNKNOWN", "Classifier: License :: OSI Approved"), []),
    }
    for name, (headers, _) in told.items():
        put(place, name, *headers)
    document = build(place, *told)
    found = {}
    for component in document["components"]:
        licences = [each.get("expression") or each["license"] for each in component.get("licenses", [])]
        names = [each if isinstance(each, str) else each.get("id") or each["name"] for each in licences]
        found[component["name"]] = sorted(names)
    assert {name: found[name] for name in told} == {name: names for name, (_, names) in told.items()}


def test_who_needs_whom_on_the_target(place: Workshop) -> None:
    put(
        place,
        "top",
        "Requires-Dist: Middle[fast] (>=1)",
        "Requires-Dist: elsewhere; sys_platform == 'win32'",
        "Requires-Dist: absent; extra == 'never'",
        "Requires-Dist: leaf; extra == 'never'",
    )
    put(place, "middle", 'Requires-Dist: leaf; python_version >= "3" and extra == "fast"', "Provides-Extra: fast")
    put(place, "leaf", "Requires-Dist: circle (>=1.*)")
    put(place, "circle", "Requires-Dist: leaf")
    put(place, "elsewhere")
    document = build(place, "elsewhere", "top[more]")
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert needs == {
        document["metadata"]["component"]["bom-ref"]: [
            PURL.format("dagster-cloud", DAGSTER),
            PURL.format("elsewhere", "1.0"),
            PURL.format("top", "1.0"),
        ],
        PURL.format("dagster-cloud", DAGSTER): [PURL.format("dagster", DAGSTER)],
        PURL.format("dagster", DAGSTER): [],
        PURL.format("elsewhere", "1.0"): [],
        PURL.format("top", "1.0"): [PURL.format("middle", "1.0")],
        PURL.format("middle", "1.0"): [PURL.format("leaf", "1.0")],
        PURL.format("leaf", "1.0"): [PURL.format("circle", "1.0")],
        PURL.format("circle", "1.0"): [PURL.format("leaf", "1.0")],
    }


def test_it_is_kept_and_made_again_where_what_was_kept_is_damaged(place: Workshop) -> None:
    build(place)
    (path,) = place.out.glob("deps-*.cdx.json")
    first = path.read_bytes()
    (kept,) = place.cache.glob("sboms/*/*/*")
    assert kept.read_bytes() == first
    for content in (first, b"damaged"):
        kept.write_bytes(content)
        path.unlink()
        build(place)
        assert path.read_bytes() == first
