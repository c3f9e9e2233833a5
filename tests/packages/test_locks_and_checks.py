"""Locking packages of a wheelhouse, where the wheelhouse takes precedence over indexes, and checking them."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from builder.errors import PackagesError, ResolutionError
from builder.packages.attempts import Failure
from builder.packages.checks import check_packages
from builder.packages.locks import PackageLock, lock_package, write_lock
from builder.packages.wheel import read_wheel
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse, write_wheelhouse
from builder.resolution import uv
from tests.support import pextools
from tests.support.index import Index, serving
from tests.support.wheels import make_wheel

VERSION = "1.13.30a0.dev42+gabc1234"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

_MAIN = "import sys\n\n\ndef main():\n    if sys.argv[1:] != ['--help']:\n        sys.exit('no such option')\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index with a third-party distribution, which requires a package of the wheelhouse."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    make_wheel(shelf, {"third.py": ""}, name="third", version="3.0", requires=["acme-shared>=1.8"])
    make_wheel(shelf, {"windows.py": ""}, name="windows", version="1.0")
    with serving(shelf) as served:
        monkeypatch.setenv("UV_DEFAULT_INDEX", served.url)
        yield served


class House:
    """A wheelhouse to which tests add packages."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.packages: list[BuiltPackage] = []
        directory.mkdir()

    def add(
        self,
        name: str,
        *,
        version: str = VERSION,
        requires: Sequence[str] = (),
        code: str = "",
        script: bool = False,
    ) -> None:
        module = name.replace("-", "_")
        entry_points = f"[console_scripts]\n{name} = {module}:main\n" if script else ""
        files = {f"{module}/__init__.py": code}
        made = make_wheel(
            self.directory, files, name=name, version=version, requires=requires, entry_points=entry_points
        )
        wheel = read_wheel(made.path)
        names = tuple(text.partition("=")[0].partition(">")[0] for text in requires if text.startswith("acme"))
        package = BuiltPackage(
            name=name,
            version=version,
            import_names=wheel.import_names,
            console_scripts=wheel.console_scripts,
            wheel=made.path.name,
            sha256=made.sha256,
            size=made.path.stat().st_size,
            requires=names,
            family="core",
            has_webapp=False,
            summary="",
        )
        self.packages.append(package)

    def wheelhouse(self) -> Wheelhouse:
        wheelhouse = Wheelhouse(
            directory=self.directory, commit=None, source_date_epoch=0, packages=tuple(self.packages)
        )
        write_wheelhouse(wheelhouse)
        return wheelhouse

    def lock(self, name: str) -> PackageLock:
        wheelhouse = self.wheelhouse()
        locked = lock_package(wheelhouse, wheelhouse.package(name), PYTHON)
        write_lock(wheelhouse, locked)
        return locked

    def check(self) -> tuple[list[BuiltPackage], list[Failure]]:
        wheelhouse = self.wheelhouse()
        for package in self.packages:
            self.lock(package.name)
        return check_packages(wheelhouse, wheelhouse.packages, Path(sys.executable), workers=2)


@pytest.fixture
def house(tmp_path: Path, index: Index) -> House:
    """Two packages of the repository, one of which requires the other and a third-party package."""
    assert index.port
    made = House(tmp_path / "house")
    made.add("acme-shared")
    made.add(
        "acme-tool",
        requires=[f"acme-shared=={VERSION}", "third", "windows; sys_platform == 'win32'"],
        code=f"import acme_shared, third\n{_MAIN}",
        script=True,
    )
    return made


def test_what_the_wheelhouse_has_is_locked_to_its_files_and_all_else_to_the_index(house: House) -> None:
    locked = house.lock("acme-tool")

    shared, tool = house.packages
    requirements = [line for line in locked.text.replace(" \\\n   ", "").splitlines() if not line.startswith("#")]
    assert requirements[0] == f"acme-shared=={VERSION} --hash=sha256:{shared.sha256}"
    assert requirements[1] == f"acme-tool=={VERSION} --hash=sha256:{tool.sha256}"
    assert requirements[2].startswith("third==3.0 --hash=sha256:")
    # For every platform.
    assert requirements[3].startswith("windows==1.0 ; sys_platform == 'win32' --hash=sha256:")
    assert (locked.local, locked.indexed) == (("acme-shared", "acme-tool"), 2)
    assert str(house.directory) not in locked.text
    assert "127.0.0.1" not in locked.text


@pytest.mark.parametrize(
    "settings",
    [
        "index-url = {0}",
        "extra-index-url = [{0}]",
        "index-url = 'http://127.0.0.1:9/'\n[[index]]\nname = 'acme'\nurl = {0}\ndefault = true",
    ],
)
def test_what_one_package_has_asked_of_an_index_the_next_does_not_ask_again(
    settings: str, house: House, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    (house.directory / "uv.toml").write_text(settings.format(repr(index.url)))
    house.lock("acme-tool")
    asked = index.pages()

    house.lock("acme-tool")

    assert "third" in asked
    assert index.pages() == asked


def _environment(path: Path) -> Path:
    uv.run(["venv", "--quiet", "--python", sys.executable, path])
    return path


def _options(house: House, venv: Path) -> list[str | Path]:
    lock = house.directory / "locks" / "acme-tool.txt"
    python = venv / "bin" / "python"
    return ["--python", python, "--require-hashes", "--find-links", house.directory, "--requirement", lock]


def _put_evil(index: Index, version: str) -> None:
    make_wheel(index.directory, {"acme_shared/__init__.py": "evil = True\n"}, name="acme-shared", version=version)


def test_an_index_cannot_put_its_own_in_place_of_what_the_wheelhouse_has(
    tmp_path: Path, house: House, index: Index
) -> None:
    _put_evil(index, VERSION)
    _put_evil(index, "99.0")
    house.lock("acme-tool")
    venv = _environment(tmp_path / "venv")

    uv.run(["pip", "install", *_options(house, venv)])

    assert "evil" not in (pextools.site_packages(venv) / "acme_shared" / "__init__.py").read_text()
    assert not [name for name in index.downloads() if name.startswith("acme")]


def test_pip_installs_by_a_lock_too_and_rather_nothing_than_what_an_index_puts_in_place(
    tmp_path: Path, house: House, index: Index
) -> None:
    _put_evil(index, "99.0")
    house.lock("acme-tool")
    venv = _environment(tmp_path / "one")
    pextools.pip([*_options(house, venv)[:2], "install", "--index-url", index.url, *_options(house, venv)[2:]])
    assert "evil" not in (pextools.site_packages(venv) / "acme_shared" / "__init__.py").read_text()

    _put_evil(index, VERSION)
    venv = _environment(tmp_path / "other")
    with pytest.raises(AssertionError, match="DO NOT MATCH THE HASHES"):
        pextools.pip([*_options(house, venv)[:2], "install", "--index-url", index.url, *_options(house, venv)[2:]])
    assert not (pextools.site_packages(venv) / "acme_shared").exists()


def test_a_package_of_the_repository_that_the_wheelhouse_lacks_is_not_taken_from_the_index(
    house: House, index: Index
) -> None:
    make_wheel(index.directory, {"acme_shared.py": ""}, name="acme-shared", version="99.0")
    house.packages = [package for package in house.packages if package.name != "acme-shared"]

    with pytest.raises(PackagesError, match="`acme-tool` needs `acme-shared`, which the wheelhouse"):
        house.lock("acme-tool")


def test_versions_that_third_parties_do_not_accept_are_told_with_why(tmp_path: Path, index: Index) -> None:
    assert index.port
    house = House(tmp_path / "old")
    house.add("acme-shared", version="1.0.0.dev7+abc1234")
    house.add("acme-tool", version="1.0.0.dev7+abc1234", requires=["acme-shared==1.0.0.dev7+abc1234", "third"])

    with pytest.raises(ResolutionError, match="what `acme-tool` needs cannot be resolved") as caught:
        house.lock("acme-tool")
    assert "acme-shared>=1.8" in (caught.value.detail or "")


def test_a_requirement_without_a_hash_cannot_be_locked(tmp_path: Path, house: House) -> None:
    elsewhere = make_wheel(tmp_path, {"direct.py": ""}, name="direct")
    house.add("acme-direct", requires=[f"direct @ {elsewhere.path.as_uri()}"])

    with pytest.raises(ResolutionError, match="cannot be locked to a version with a hash"):
        house.lock("acme-direct")


def test_packages_that_work_pass(house: House) -> None:
    passed, failures = house.check()

    assert [failure.error.detail for failure in failures] == []
    assert [package.name for package in passed] == ["acme-shared", "acme-tool"]


def test_packages_that_do_not_work_are_named_with_what_they_said(house: House) -> None:
    house.add("acme-import", code="import not_there\n")
    house.add("acme-script", code="def main():\n    raise SystemExit('out of order')\n", script=True)
    house.add(
        "acme-version", code="import sys\n\n\ndef main():\n    assert sys.argv[1:] == ['--version']\n", script=True
    )

    passed, failures = house.check()

    assert [package.name for package in passed] == ["acme-shared", "acme-tool", "acme-version"]
    said = {failure.name: failure.error.detail or "" for failure in failures}
    assert list(said) == ["acme-import", "acme-script"]
    assert "import acme_import:" in said["acme-import"]
    assert "No module named 'not_there'" in said["acme-import"]
    assert said["acme-script"] == "acme-script --help: out of order"


def test_a_program_is_tried_after_the_import_and_by_itself_where_it_fails_there(
    house: House, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    code = f"import sys\n\nwith open({str(starts)!r}, 'a') as stream:\n    stream.write(__name__ + '\\n')\n"
    helps = "\n\ndef main():\n    main = sys.modules['__main__']\n"
    helps += "    assert (main.__file__, main.__name__, '--help') == (sys.argv[0], '__main__', sys.argv[1])\n"
    house.add("acme-forked", code=code + helps, script=True)
    house.add("acme-alone", code=f"{code}{helps}    assert not sys.flags.isolated\n", script=True)

    _passed, failures = house.check()

    assert [failure.error.detail for failure in failures] == []
    assert sorted(starts.read_text().split()) == ["acme_alone", "acme_alone", "acme_forked"]


def test_another_file_than_the_one_that_was_built_is_not_installed(house: House) -> None:
    house.lock("acme-tool")
    wheel = house.directory / house.packages[0].wheel
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("acme_shared/more.py", "")

    with pytest.raises(PackagesError, match="differs from what was built"):
        house.check()


def test_a_package_without_a_lock_is_told(house: House) -> None:
    wheelhouse = house.wheelhouse()

    _passed, failures = check_packages(wheelhouse, wheelhouse.packages, Path(sys.executable), workers=1)

    assert [failure.error.what for failure in failures] == [
        "`acme-shared` has no lock in the wheelhouse",
        "`acme-tool` has no lock in the wheelhouse",
    ]


def test_a_lock_of_another_build_is_told(house: House) -> None:
    wheelhouse = house.wheelhouse()
    for package in house.packages:
        house.lock(package.name)
        path = wheelhouse.lock_path(package)
        path.write_text(path.read_text().replace(package.sha256, "0" * 64))

    _passed, failures = check_packages(wheelhouse, wheelhouse.packages, Path(sys.executable), workers=1)

    assert len(failures) == 2
    assert all("cannot be installed by its lock" in failure.error.what for failure in failures)
