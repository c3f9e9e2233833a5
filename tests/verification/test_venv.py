"""The builder unpacks PEX files to the same environments as pex-tools."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from builder.assembly.deps_pex import assemble_deps_pex
from builder.assembly.source_pex import SourceEntry, assemble_source_pex
from builder.assembly.source_tree import source_entries
from builder.assembly.wheels import WheelFile
from builder.errors import LoadError
from builder.project.files import Selection
from builder.resolution.pythons import find_python
from builder.verification import unpack as unpack_module
from builder.verification.unpack import skeleton, unpack, unpack_with_pex_tools
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = find_python(RUNNING)

Tree = dict[str, tuple[int, bytes] | str]


def tree(venv: Path) -> Tree:
    """Every file and link by name, with the environment's own path replaced by a placeholder."""
    found: Tree = {}
    for path in venv.rglob("*"):
        name = str(path.relative_to(venv))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[f"{name}/"] = ""
        else:
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes().replace(bytes(venv), b"VENV"))
    return found


def both(pex: Path, root: Path) -> tuple[Tree, Tree]:
    """Unpack the same file with the builder and with pex-tools, into directories of the same name."""
    ours = unpack(pex, PYTHON, root / "ours" / "venv")
    theirs = unpack_with_pex_tools(pex, PYTHON, root / "theirs" / "venv")
    found = tree(theirs.venv)
    del found["pex-repl"]
    return tree(ours.venv), found


@pytest.fixture(autouse=True)
def _parents(tmp_path: Path) -> None:
    for name in ("ours", "theirs", "again"):
        (tmp_path / name).mkdir()


def wheels(root: Path) -> list[WheelFile]:
    root.mkdir(exist_ok=True)
    files = {
        "tool/__init__.py": "VERSION = 1\n",
        "tool/data/räder.txt": "x" * 100_000,
        "tool/empty": "",
        "space/one/__init__.py": "",
        "hook.pth": "import os\n",
        "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool:main\nplain = tool\n",
        "tool-1.0.data/scripts/shell": "#!/bin/sh\necho\n",
        "tool-1.0.data/scripts/snake": "#!python\nprint(1)\n",
        "tool-1.0.data/scripts/snake3": "#!/usr/bin/env python3\nprint(1)\n",
        "tool-1.0.data/scripts/wrapped": "#!/usr/bin/pythonish\n",
        "tool-1.0.data/scripts/no-line": "#!python",
        "tool-1.0.data/data/share/doc, with comma.txt": "doc",
        "tool-1.0.data/headers/tool.h": "int x;\n",
        "tool-1.0.data/purelib/pure.py": "",
    }
    return [
        make_wheel(root, files, name="tool", version="1.0"),
        make_wheel(root, {"space/two/__init__.py": ""}, name="other", version="2.0"),
    ]


def deps_pex(root: Path, files: list[WheelFile], identity: str = "abc") -> Path:
    return assemble_deps_pex(files, identity=identity, python_version=RUNNING, out_dir=root).artefact.path


def test_a_deps_pex_is_unpacked_as_pex_tools_does_it(tmp_path: Path) -> None:
    ours, theirs = both(deps_pex(tmp_path, wheels(tmp_path / "wheels")), tmp_path)

    assert ours == theirs
    assert f"lib/python{RUNNING}/site-packages/tool/data/räder.txt" in ours


def test_a_source_pex_is_unpacked_as_pex_tools_does_it(tmp_path: Path) -> None:
    entries = [
        SourceEntry("working_directory/root/app.py", 0o644, b"import tool\n"),
        SourceEntry("working_directory/root/run.sh", 0o755, b"#!/bin/sh\n"),
        SourceEntry("working_directory/root/empty", 0o755, None),
        SourceEntry("working_directory/__init__.py", 0o644, b""),
        SourceEntry("bin/program", 0o755, b"#!python\n"),
        SourceEntry("deep/er/file", 0o644, os.urandom(3_000_000)),
    ]
    programs = [wheel.path for wheel in wheels(tmp_path / "wheels")]
    entries += [entry for entry in source_entries(Selection(()), programs)[0] if entry.name.startswith(".deps/")]
    pex = assemble_source_pex(entries, python_version=RUNNING, out_dir=tmp_path).artefact.path

    ours, theirs = both(pex, tmp_path)

    assert ours == theirs
    assert ours["bin/tool"] != ours["bin/shell"]


def test_files_of_the_same_wheels_are_shared_with_their_bytecode(tmp_path: Path) -> None:
    first, second = wheels(tmp_path / "wheels")
    before = unpack(deps_pex(tmp_path / "1", [first, second]), PYTHON, tmp_path / "ours" / "venv")
    module = before.site_packages / "tool" / "__init__.py"
    bytecode = module.parent / "__pycache__" / f"__init__.cpython-{RUNNING.replace('.', '')}.pyc"
    bytecode.parent.mkdir()
    bytecode.write_bytes(b"compiled")
    other = make_wheel(tmp_path / "wheels", {"space/two/__init__.py": "new"}, name="other", version="2.1")
    pex = deps_pex(tmp_path / "2", [first, other], "abd")

    after = unpack(pex, PYTHON, tmp_path / "again" / "venv", before.venv)

    again = after.site_packages / "tool" / "__init__.py"
    assert again.samefile(module)
    assert (again.parent / "__pycache__" / bytecode.name).samefile(bytecode)
    assert (after.site_packages / "space" / "two" / "__init__.py").read_text() == "new"
    assert not (after.bin / "tool").samefile(before.bin / "tool")
    (again.parent / "__pycache__" / bytecode.name).unlink()
    (again.parent / "__pycache__").rmdir()
    theirs = tree(unpack_with_pex_tools(pex, PYTHON, tmp_path / "theirs" / "venv").venv)
    del theirs["pex-repl"]
    assert tree(after.venv) == theirs


def test_a_file_of_another_size_is_not_shared(tmp_path: Path) -> None:
    pex = deps_pex(tmp_path, wheels(tmp_path / "wheels"))
    before = unpack(pex, PYTHON, tmp_path / "ours" / "venv")
    (before.site_packages / "tool" / "__init__.py").write_text("changed by somebody\n")

    after = unpack(pex, PYTHON, tmp_path / "again" / "venv", before.venv)

    assert (after.site_packages / "tool" / "__init__.py").read_text() == "VERSION = 1\n"


def test_what_is_unusual_is_left_to_pex_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = wheels(tmp_path / "wheels")
    clash = make_wheel(tmp_path / "wheels", {"tool/__init__.py": "other\n"}, name="clash", version="1.0")
    source = [SourceEntry("pex/__init__.py", 0o644, b"")]
    asked = []

    def note(pex: Path, python: Path, venv: Path) -> object:
        asked.append(pex)
        return unpack_with_pex_tools(pex, python, venv)

    skeleton(PYTHON, RUNNING)
    monkeypatch.setattr(unpack_module, "unpack_with_pex_tools", note)
    for number, pex in enumerate(
        (
            deps_pex(tmp_path, [first, clash]),
            assemble_source_pex(source, python_version=RUNNING, out_dir=tmp_path).artefact.path,
        )
    ):
        ours, theirs = both(pex, _room(tmp_path / str(number)))
        assert asked[-1] == pex
        assert ours.keys() - {"pex-repl"} == theirs.keys()


def _room(root: Path) -> Path:
    for name in ("ours", "theirs"):
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize("damage", ["cut off", "content", "header"])
def test_a_damaged_file_is_refused_as_pex_tools_refuses_it(tmp_path: Path, damage: str) -> None:
    pex = deps_pex(tmp_path, wheels(tmp_path / "wheels"))
    content = bytearray(pex.read_bytes())
    with zipfile.ZipFile(pex) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("räder.txt"))
    if damage == "cut off":
        del content[-40:]
    else:
        content[entry.header_offset + (60 + len(entry.filename.encode()) if damage == "content" else 0)] ^= 0xFF
    pex.write_bytes(content)

    with pytest.raises(LoadError, match="cannot be unpacked, and the server could not"):
        unpack(pex, PYTHON, tmp_path / "ours" / "venv")
