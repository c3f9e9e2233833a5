"""`builder.verify` loads projects of every layout, and the real receiving server with the same result.

The projects require only dagster and dagster-cloud, so they share one deps PEX.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.commands import run_command
from tests.support.programs import REPOSITORY
from tests.support.projects import Trait, load_traits
from tests.support.server import CodeServer, ServerRefusedError
from tests.support.verified import verified

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SERVED = ("autoload-defs", "data-files", "dg-src-generated", "entry-points", "include-outside")
"""One for each kind of `code_source`, and for each place in which the code, or what it reads, is found."""


def test_the_server_finds_the_code(tmp_path: Path, code_server: CodeServer) -> None:
    traits = [trait for trait in load_traits() if trait.assets]
    locations = []
    for trait in traits:
        trait.copy(tmp_path / trait.name, {})
        directory = str(tmp_path / trait.name / trait.project)
        source = dict(trait.code_source)
        locations.append({"location_name": trait.name, "build": {"directory": directory}, "code_source": source})
    workspace, out = tmp_path / "dagster_cloud.yaml", tmp_path / "out"
    workspace.write_text(json.dumps({"locations": locations}), encoding="utf-8")
    run_command("deploy", workspace, out, "--python-version", RUNNING, directory=REPOSITORY).succeeded()
    report = json.loads((out / "build.json").read_text(encoding="utf-8"))
    tags = {location["name"]: location["pex_tag"] for location in report["locations"]}
    assert len(list(out.glob("deps-*.pex"))) == 1

    seen = verified(out)
    assert {name: each["assets"] for name, each in seen.items()} == {
        trait.name: list(trait.assets) for trait in traits
    }
    code_server.add(out)
    served = [trait for trait in traits if trait.name in SERVED]
    loaded = {trait.name: load(code_server, trait, tags[trait.name]) for trait in served}
    assert loaded == {name: seen[name] for name in SERVED}


def load(server: CodeServer, trait: Trait, pex_tag: str) -> dict[str, list[str]]:
    """The definitions of a location as the server loads them, or the server's error."""
    try:
        return server.create_location(trait.name, pex_tag=pex_tag, code_source=trait.code_source).definitions()
    except ServerRefusedError as error:
        return {"assets": [error.error]}
