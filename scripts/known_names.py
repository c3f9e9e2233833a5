"""Write the names of the most used distributions into `builder/resolution/known-names.txt`, for "did you mean".

The list is of https://hugovk.github.io/top-pypi-packages/, which is made from PyPI's own numbers of downloads:

    curl -o top.json https://hugovk.github.io/top-pypi-packages/top-pypi-packages.min.json
    python scripts/known_names.py top.json

Of dagster and dbt every name of the list is taken, of all others the first few thousand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_COUNT = 4000
_ALWAYS = ("dagster", "dbt-")
_OUTPUT = Path(__file__).parent.parent / "builder" / "resolution" / "known-names.txt"


def main(source: Path) -> None:
    """Write the file, sorted, from the most used names first in `source`."""
    names = [row["project"] for row in json.loads(source.read_text(encoding="utf-8"))["rows"]]
    chosen = {name for place, name in enumerate(names) if place < _COUNT or name.startswith(_ALWAYS)}
    _OUTPUT.write_text("".join(f"{name}\n" for name in sorted(chosen)), encoding="utf-8")
    print(f"wrote {len(chosen)} names")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
