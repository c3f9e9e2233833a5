"""Print the SBOM of a builder.pex, CycloneDX 1.6: `builder_sbom.py BUILDER_PEX`."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

import pipfile_lock  # noqa: E402  (needs the path above)

from builder import __version__  # noqa: E402


def main(pex: Path) -> None:
    """Describe each distribution in the file once."""
    with zipfile.ZipFile(pex) as archive:
        names = {_project(name) for name in archive.namelist() if name.endswith((".whl", ".xz"))}
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{locked.name}@{locked.version}",
            "name": locked.name,
            "version": locked.version,
            "purl": f"pkg:pypi/{locked.name}@{locked.version}",
        }
        for locked in pipfile_lock.read("default")
        if _project(locked.name.replace("-", "_")) in names
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "builder.pex", "version": __version__}},
        "components": components,
    }
    print(json.dumps(document, indent=2))


def _project(name: str) -> str:
    """The project of a file in the archive, without what tells its spellings apart."""
    return re.sub("[-_.]+", "", name.partition("-")[0]).lower()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
