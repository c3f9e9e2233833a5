"""Whether packages of many shapes are built as all tools build them: the table of docs/local-packages.md.

Each package of `tests/support/package_shapes.py` is built by the builder, by pip and by uv, and by poetry, pdm,
hatch or flit if it has their backend; compared are version, files with their content, and requirements.

    .venv/bin/python bench/frontends.py [SHAPE...]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from builder.resolution.backend import LocalPackages  # noqa: E402  (found by the line above)
from builder.resolution.build_inputs import build_system  # noqa: E402
from tests.support.frontends import ABOVE, Facts, build_wheel  # noqa: E402
from tests.support.local_packages import PYTHON  # noqa: E402
from tests.support.package_shapes import SHAPES, lay_out  # noqa: E402

OF_BACKENDS = {
    "flit_core.buildapi": "flit",
    "hatchling.build": "hatch",
    "pdm.backend": "pdm",
    "poetry.core.masonry.api": "poetry",
}
CACHE = REPOSITORY / ".pytest_cache" / "d" / "frontends"


def differences(ours: Facts, theirs: Facts) -> Iterator[str]:
    """What is another in a wheel of the builder."""
    if ours.name != theirs.name:
        yield f"{ours.name} instead of {theirs.name}"
    if ours.requires != theirs.requires:
        yield f"requires {ours.requires} instead of {theirs.requires}"
    for name in sorted(ours.content.keys() | theirs.content.keys()):
        if ours.content.get(name) != theirs.content.get(name):
            how = "is another" if name in ours.content.keys() & theirs.content.keys() else "is in one of them only"
            yield f"{name} {how}"


def compare(name: str) -> str:
    """A line of the table: the tools, and what is different."""
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "checkout" / "tree"
        package = lay_out(shape, root)
        wheel = LocalPackages(PYTHON).wheel(package)
        ours = Facts.read(wheel, here=ABOVE, there=str(root.parent))
        tools = ["pip", "uv"]
        tools += [OF_BACKENDS[backend]] if (backend := build_system(package).backend) in OF_BACKENDS else []
        found = []
        for tool in tools:
            copy = Path(scratch) / tool / "checkout" / "tree"
            shutil.copytree(root, copy, symlinks=True)
            out = Path(scratch) / tool / "out"
            out.mkdir()
            built = build_wheel(tool, copy / shape.package, out, CACHE)
            theirs = Facts.read(built, here=str(copy.parent), there=str(root.parent))
            found += [f"{tool}: {each}" for each in differences(ours, theirs)]
    return f"| {name} | {', '.join(tools)} | {ours.name.split('-')[1]} | {'; '.join(found) or 'the same'} |"


def main(names: list[str]) -> int:
    """Print the table; the exit code is the number of packages that something is different of."""
    for name in names:
        os.environ |= SHAPES[name].environment
    CACHE.mkdir(parents=True, exist_ok=True)
    different = 0
    with ThreadPoolExecutor(3) as pool:
        for line in pool.map(compare, names):
            print(line, flush=True)
            different += not line.endswith("| the same |")
    return different


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(SHAPES)))
