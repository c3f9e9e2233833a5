from __future__ import annotations

import os
import sys
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import packaging
import pytest

from builder.assembly import archive, source_pex
from builder.assembly.source_pex import SourceEntry, assemble_source_pex
from builder.assembly.source_tree import source_entries
from builder.errors import AssemblyError
from builder.project.external_files import ExternalPath
from builder.project.files import ProjectFile, Selection
from builder.system.storage import Artefact
from tests.support.pextools import REPOSITORY, Reader, run, site_packages, tree
from tests.support.pythons import any_python
from tests.support.wheels import make_wheel


def assemble(entries: Iterable[SourceEntry], *, out_dir: Path, python_version: str = "3.11") -> Artefact:
    return assemble_source_pex(entries, python_version=python_version, out_dir=out_dir).artefact


ROOT = "working_directory/root"
FILES = {
    "package/__init__.py": b"",
    "package/code.py": b"x = 1\n" * 100,
    "package-1.0.dist-info/METADATA": b"Name: package\nVersion: 1.0\n",
    f"{ROOT}/.env": b"A=1",
    f"{ROOT}/.hidden/file": b"",
    f"{ROOT}/mit Leerzeichen \xc3\xbc.txt".encode("latin-1").decode(): "ü".encode(),
    f"{ROOT}/run.sh": b"#!/bin/sh\necho run\n",
    f"{ROOT}/noise.bin": bytes(range(256)),
}


def entries(**changes: bytes) -> list[SourceEntry]:
    files = {**FILES, **{f"{ROOT}/{name}": content for name, content in changes.items()}}
    made = [
        SourceEntry(name, 0o755 if name.endswith(".sh") else 0o644, content) for name, content in files.items()
    ]
    return [*made, SourceEntry(f"{ROOT}/empty", 0o755, None)]


def installed(directory: Path) -> list[SourceEntry]:
    """What a source PEX has of a local package with programs, which asks for what the deps PEX has."""
    wheel = make_wheel(
        directory,
        {"local.py": "def main():\n    print('ran')\n", "local-1.0.data/scripts/shell": "#!/bin/sh\necho ran\n"},
        name="local",
        requires=["dagster"],
        entry_points="[console_scripts]\nrun-it = local:main\n",
        tag="cp311-cp311-linux_x86_64",
    )
    made, _notices = source_entries(Selection(()), [wheel.path])
    return [entry for entry in made if not entry.name.startswith("working_directory")]


def test_receivers_unpack_what_was_put_in(each_reader: Reader, tmp_path: Path) -> None:
    content = {entry.name: entry for entry in [*installed(tmp_path), *entries()]}
    artefact = assemble(content.values(), out_dir=tmp_path).path
    each_reader.unpack(artefact, tmp_path / "venv")
    assert [run([tmp_path / "venv/bin" / name]) for name in ("run-it", "shell")] == ["ran\n", "ran\n"]
    code = "from importlib.metadata import distribution as of; print(of('local').version, of('local').requires)"
    assert run([tmp_path / "venv/bin/python", "-c", code]) == "1.0 ['dagster']\n"
    unpacked = tree(site_packages(tmp_path / "venv"))
    ours = {name: entry for name, entry in unpacked.items() if name.startswith(("package", "working_directory"))}
    expected = {name: ("file", content) for name, content in FILES.items()}
    expected[f"{ROOT}/run.sh"] = ("program", FILES[f"{ROOT}/run.sh"])
    directories = {
        "package",
        "package-1.0.dist-info",
        "working_directory",
        ROOT,
        f"{ROOT}/.hidden",
        f"{ROOT}/empty",
    }
    assert ours == {**expected, **dict.fromkeys(directories, ("directory", b""))}
    others = {name.partition("/")[0] for name in unpacked.keys() - ours.keys()}
    assert others <= {"__pex__", "PEX_EXTRA_SYS_PATH.pth", "local.py", "local-1.0.dist-info", "__pycache__"}


def test_runs_as_it_is(newest_reader: Reader, tmp_path: Path) -> None:
    artefact = assemble(entries(), out_dir=tmp_path).path
    code = "import package.code; print(package.code.x)"
    said = run([newest_reader.python, artefact, "-c", code], extra_environment={"PEX_ROOT": str(tmp_path)})
    assert said == "1\n"


def test_name_says_the_identity(tmp_path: Path) -> None:
    artefact = assemble(entries(), out_dir=tmp_path)
    assert artefact.name == f"source-{artefact.identity}.pex"
    assert len(artefact.identity) == 40
    assert os.access(artefact.path, os.X_OK)
    assert artefact.size == artefact.path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == [artefact.name]
    with zipfile.ZipFile(artefact.path) as archive:
        assert archive.testzip() is None


def test_every_difference_changes_the_identity(tmp_path: Path) -> None:
    plain = entries()
    variants = {
        "plain": plain,
        "dotfile": entries(**{".env": b"A=2"}),
        "new dotfile": entries(**{".envrc": b""}),
        "moved boundary": entries(a=b"12", b=b"3"),
        "moved boundary back": entries(a=b"1", b=b"23"),
        "mode": [SourceEntry(each.name, 0o755, each.content) for each in plain],
        "no directory": [each for each in plain if each.content is not None],
        "renamed": [*plain[1:], SourceEntry(plain[0].name + "x", plain[0].mode, plain[0].content)],
    }
    identities = {name: assemble(variant, out_dir=tmp_path).identity for name, variant in variants.items()}
    identities["python"] = assemble(plain, python_version="3.12", out_dir=tmp_path).identity
    assert len(set(identities.values())) == len(identities)


def test_another_zlib_gives_another_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zlib-ng, as some Pythons have it, makes other bytes: they must not go by the same name."""
    long = entries(squares=b" ".join(b"%d" % number**2 for number in range(1000)))
    one = assemble(long, out_dir=tmp_path)
    compress = zlib.compress
    monkeypatch.setattr(zlib, "compress", lambda data, _level, wbits: compress(data, 1, wbits))
    other = assemble(long, out_dir=tmp_path)
    assert one.sha256 != other.sha256
    assert one.identity != other.identity


_ASSEMBLE = """
import pathlib, sys
from builder.assembly.source_pex import SourceEntry, assemble_source_pex
root, out, order = map(str, sys.argv[1:])
paths = sorted(pathlib.Path(root).rglob("*"), reverse=order == "reversed")
entries = [SourceEntry(p.relative_to(root).as_posix(), 0o644, None if p.is_dir() else p) for p in paths]
made = assemble_source_pex(entries, python_version="3.11", out_dir=pathlib.Path(out)).artefact
print(made.name, made.sha256)
"""


def test_same_files_give_the_same_bytes_everywhere(tmp_path: Path, bootstrap_cache: Path) -> None:
    def assembled_by(python: Path, root: Path, order: str, **environment: str) -> str:
        for name, content in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        # What the assembly imports is pure Python: a virtual environment of any version serves.
        path = os.pathsep.join([str(REPOSITORY), str(Path(packaging.__file__).parents[1])])
        everything = {"PYTHONPATH": path, "BUILDER_CACHE_DIR": str(bootstrap_cache), **environment}
        return run([python, "-c", _ASSEMBLE, root, root.with_suffix(".out"), order], extra_environment=everything)

    here = assembled_by(Path(sys.executable), tmp_path / "here", "sorted")
    old = os.umask(0o077)
    try:
        elsewhere = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}
        there = assembled_by(any_python("3.12"), tmp_path / "über there", "reversed", **elsewhere)
    finally:
        os.umask(old)
    assert here == there


@pytest.mark.parametrize(
    "names, complaint",
    [
        (["PEX-INFO"], "`PEX-INFO` is a name that the PEX format reserves"),
        (["__main__.py"], "reserves"),
        ([".deps/x"], "reserves"),
        (["../x"], "not a valid name in a PEX file"),
        (["/x"], "not a valid name in a PEX file"),
        (["a//x"], "not a valid name in a PEX file"),
        (["a", "a/b/c"], "`a` is both a file and a directory"),
        (["a", "a"], "`a` would be in the PEX file twice"),
        (["\udcff.txt"], "not valid UTF-8"),
    ],
)
def test_refuses_names_that_cannot_be_unpacked(tmp_path: Path, names: Iterable[str], complaint: str) -> None:
    with pytest.raises(AssemblyError, match=complaint):
        assemble([SourceEntry(name, 0o644, b"") for name in names], out_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_tells_which_file_vanished(tmp_path: Path) -> None:
    with pytest.raises(AssemblyError, match=r"could not read `.*gone\.py`: No such file") as caught:
        assemble([SourceEntry("gone.py", 0o644, tmp_path / "gone.py")], out_dir=tmp_path / "out")
    assert caught.value.remedy
    assert not list((tmp_path / "out").iterdir())


def test_notices_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing.log"
    path.write_bytes(b"one\n")
    fstat, watched = os.fstat, path.stat()

    def fstat_then_grow(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        # Removing the test's directory comes here too.
        if os.path.samestat(status, watched) and path.exists():
            path.write_bytes(path.read_bytes() + b"more\n")
        return status

    monkeypatch.setattr(os, "fstat", fstat_then_grow)
    with pytest.raises(AssemblyError, match=r"growing\.log` changed while it was read"):
        assemble([SourceEntry("growing.log", 0o644, path)], out_dir=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("content", [b"again and again\n" * 300_000, os.urandom(3_000_000)])
def test_a_file_that_is_compressed_in_pieces_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "large"
    path.write_bytes(content)
    entry = SourceEntry(f"{ROOT}/large", 0o755, path)
    whole = assemble_source_pex([entry], python_version="3.11", out_dir=tmp_path / "whole").artefact
    monkeypatch.setattr(source_pex, "_STREAMED", 1)
    monkeypatch.setattr(archive, "_LARGE", 1)

    pieces = assemble_source_pex([entry], python_version="3.11", out_dir=tmp_path / "pieces").artefact

    assert (pieces.name, pieces.sha256) == (whole.name, whole.sha256)
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == [pieces.name]


def test_a_large_file_that_changes_while_it_is_read_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(3_000_000))
    monkeypatch.setattr(source_pex, "_STREAMED", 1)
    compress = zlib.compressobj

    def change(*arguments: Any) -> object:  # noqa: ANN401
        with path.open("r+b") as stream:
            stream.seek(2_900_000)
            stream.write(b"changed")
        return compress(*arguments)

    monkeypatch.setattr(zlib, "compressobj", change)

    with pytest.raises(AssemblyError, match="changed while it was read"):
        assemble_source_pex([SourceEntry("large", 0o644, path)], python_version="3.11", out_dir=tmp_path)


def test_many_small_files_come_in_order_whatever_their_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [SourceEntry(f"{ROOT}/{number:03}", 0o644, b"x" * number) for number in range(200)]
    made = []
    for size in (1, 20_000, 1 << 30):
        monkeypatch.setattr(source_pex, "_BATCH", size)
        out = tmp_path / str(size)
        made.append(assemble_source_pex(files, python_version="3.11", out_dir=out).artefact.sha256)

    assert len(set(made)) == 1


def test_a_path_outside_that_takes_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    own, other = (Selection((ProjectFile("a.txt", tmp_path / name, 0o644),)) for name in ("own", "other"))
    with pytest.raises(AssemblyError, match=f"two files would be `{ROOT}/a.txt` in the source PEX") as caught:
        source_entries(own, [], [ExternalPath("../root", other)])
    assert caught.value.remedy == "Take the path that leads there out of `include`"
