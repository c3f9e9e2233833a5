"""The canonical form of wheels that the builder builds."""

from __future__ import annotations

import hashlib
from pathlib import Path

from builder.resolution.built_wheel import canonical_wheel
from tests.support.wheels import make_wheel


def test_the_bytes_of_a_wheel_for_pex_files_stay_the_same(tmp_path: Path) -> None:
    """The name of a deps PEX has the hashes of its sdists, but receivers cache by the hash of the built wheels."""
    files = {"b.py": "b", "sample-1.0.data/scripts/run": "#!python\n", "a/__init__.py": "a"}
    wheel = make_wheel(tmp_path, files, executables=["sample-1.0.data/scripts/run"])
    content = canonical_wheel(wheel.path, replace=[("sample", "example")])
    assert (
        hashlib.sha256(content).hexdigest() == "8b65e0d701719eb24faad7cd50577d2bd8cd356cddf7d07ba4a6fc4454964dc3"
    )
