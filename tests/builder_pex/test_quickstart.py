"""README's first command, without the minute that making builder.pex takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import REPOSITORY


def test_quickstart(builder_pex: Path, tmp_path: Path) -> None:
    clone, elsewhere = tmp_path / "a clone", tmp_path / "elsewhere"
    (clone / "generated" / "gha").mkdir(parents=True)
    elsewhere.mkdir()
    shutil.copy2(REPOSITORY / "quickstart.sh", clone)
    shutil.copytree(REPOSITORY / "examples" / "quickstart", clone / "examples" / "quickstart")
    (clone / "generated" / "gha" / "builder.pex").symlink_to(builder_pex)
    before = sorted(path for path in clone.rglob("*"))

    finished = subprocess.run(
        [clone / "quickstart.sh", "built here"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "/generated/gha/builder.pex -m builder.deploy " in finished.stderr
    out = elsewhere / "built here"
    (location,) = json.loads((out / "build.json").read_text(encoding="utf-8"))["locations"]
    deps, source = location["pex_tag"].removeprefix("files=").split(":")
    assert {deps, source} <= {path.name for path in out.iterdir()}
    assert deps in finished.stdout
    assert source in finished.stdout
    assert "dagster 1." in finished.stdout
    sbom = json.loads((out / location["sbom"]).read_text(encoding="utf-8"))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(sbom)) is None
    assert len(sbom["components"]) == location["deps"]["distributions"]
    assert not [each["name"] for each in sbom["components"] if not each.get("licenses")]
    assert sorted(path for path in clone.rglob("*")) == before
