"""The oracle: pex's own installation of the same wheels, file by file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.assembly.archive import DEFLATED
from builder.assembly.installation import LAYOUT, UnsupportedWheelError, install
from builder.assembly.wheels import WheelFile, open_wheel
from tests.support.pextools import Reader, Tree, run, tree
from tests.support.wheels import make_wheel

_INSTALL = """
import os, sys
from pex.pep_427 import install_wheel_chroot
for wheel in sys.argv[2:]:
    install_wheel_chroot(wheel, os.path.join(sys.argv[1], os.path.basename(wheel)))
"""


def laid_out(wheel: WheelFile) -> Tree:
    return {
        member.name: (
            "program" if member.executable else "file",
            zlib.decompress(member.data, -15) if member.method == DEFLATED else bytes(member.data),
        )
        for member in install(open_wheel(wheel)).members
    }


def installed_by_pex(wheels: list[WheelFile], pex: Reader, directory: Path) -> Mapping[str, Tree]:
    run([pex.python, "-c", _INSTALL, directory, *(wheel.path for wheel in wheels)])
    return {
        wheel.filename: {
            name: entry for name, entry in tree(directory / wheel.filename).items() if entry[0] != "directory"
        }
        for wheel in wheels
    }


def test_installs_what_pex_installs(
    corpus: list[WheelFile], unusual: list[WheelFile], newest_reader: Reader, tmp_path: Path
) -> None:
    wheels = [*corpus, *unusual]
    expected = installed_by_pex(wheels, newest_reader, tmp_path)
    for wheel in wheels:
        # pex adds a fingerprint of its own to the description of the layout.
        assert {LAYOUT} == _differences(laid_out(wheel), expected[wheel.filename]), wheel.filename


def test_takes_the_last_of_two_files_of_one_name(tmp_path: Path, newest_reader: Reader) -> None:
    wheel = make_wheel(tmp_path, {"twice.py": "x = 'one'\n"})
    content = wheel.path.read_bytes()
    with pytest.warns(UserWarning, match="Duplicate name"):
        _append(wheel.path, "twice.py", "x = 'two'\n")
    assert wheel.path.read_bytes() != content
    assert laid_out(wheel)["twice.py"] == ("file", b"x = 'two'\n")
    expected = installed_by_pex([wheel], newest_reader, tmp_path / "pex")
    assert {LAYOUT} == _differences(laid_out(wheel), expected[wheel.filename])


@pytest.mark.parametrize(
    "files",
    [
        {"sample.py": "1", "sample-1.0.data/purelib/sample.py": "2"},
        {"sample-1.0.data/data/bin/run": "1", "sample-1.0.data/scripts/run": "2"},
        {".prefix/bin/run": "1"},
        {"windows\\path.py": ""},
    ],
    ids=["root and data", "data and scripts", "stash", "backslash"],
)
def test_leaves_the_doubtful_to_pex(tmp_path: Path, files: dict[str, str]) -> None:
    wheel = make_wheel(tmp_path, files)
    with pytest.raises(UnsupportedWheelError):
        install(open_wheel(wheel))


def _append(archive: Path, name: str, content: str) -> None:
    with zipfile.ZipFile(archive, "a") as stream:
        stream.writestr(name, content)


def _differences(one: Tree, other: Tree) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}
