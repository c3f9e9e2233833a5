"""Reading and checking wheels: metadata, RECORD, import names."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from builder.errors import PackagesError
from builder.packages.wheel import check_wheel, read_wheel
from builder.resolution.built_wheel import canonical_wheel
from tests.support.wheels import make_wheel

DIST_INFO = "sample-1.0.dist-info"


@pytest.mark.parametrize(
    "files, names",
    [
        (["dagster_webserver/__init__.py", "dagster_webserver/cli.py"], ("dagster_webserver",)),
        (["one.py", "two/__init__.py", "native.cpython-311-x86_64-linux-gnu.so"], ("native", "one", "two")),
        # Namespace packages, of which only the contents can be imported.
        (["acme/sales/__init__.py", "acme/stock.py"], ("acme.sales", "acme.stock")),
        (["pkg/__init__.py", "pkg/templates/PROJECT-NAME/x.py", "sample-1.0.data/scripts/run.py"], ("pkg",)),
    ],
)
def test_import_names_are_those_of_the_files(tmp_path: Path, files: list[str], names: tuple[str, ...]) -> None:
    assert read_wheel(make_wheel(tmp_path, dict.fromkeys(files, "")).path).import_names == names


def test_import_names_that_the_metadata_says_are_taken(tmp_path: Path) -> None:
    metadata = "Metadata-Version: 2.5\nName: sample\nVersion: 1.0\nImport-Name: said ; private\n"
    wheel = make_wheel(tmp_path, {"found.py": "", f"{DIST_INFO}/METADATA": metadata})

    assert read_wheel(wheel.path).import_names == ("said",)


def test_console_scripts_and_requirements(tmp_path: Path) -> None:
    made = make_wheel(
        tmp_path,
        {"sample.py": ""},
        requires=["a==1", 'b; extra == "more"', "c; python_version < '4'"],
        entry_points="[console_scripts]\nTool = sample:main\na-b = sample:main [x]\n[gui_scripts]\nw = sample:w\n",
    )

    wheel = read_wheel(made.path)

    assert wheel.console_scripts == ("Tool", "a-b")
    assert [text.partition(";")[0].strip() for text in wheel.requires] == ["a==1", "c"]


@pytest.mark.parametrize(
    "metadata, said",
    [
        ("Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nRequires-Dist: a==\n", "requires-dist"),
        ("Metadata-Version: 2.1\nName: sample\nVersion: not a version\n", "version"),
        ("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", "its metadata is of other 1.0"),
        ("Metadata-Version: 2.1\nName: sample\nVersion: 1.1\n", "its metadata is of sample 1.1"),
        ("Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nSummary: one\n  two\n", "summary"),
    ],
)
def test_metadata_that_an_index_would_refuse_is_refused(tmp_path: Path, metadata: str, said: str) -> None:
    made = make_wheel(tmp_path, {"sample.py": "", f"{DIST_INFO}/METADATA": metadata})

    with pytest.raises(PackagesError, match="is not valid") as caught:
        read_wheel(made.path)
    assert said in (caught.value.detail or "").lower()


@pytest.mark.parametrize(
    "record, said",
    [
        (f"sample.py,sha256=AAAA,0\n{DIST_INFO}/METADATA,,\n", "is not what RECORD says"),
        (f"gone.py,sha256=AAAA,0\n{DIST_INFO}/RECORD,,\n", "RECORD lists `gone.py`"),
        (f"{DIST_INFO}/RECORD,,\n", "RECORD does not list"),
    ],
)
def test_files_that_differ_from_the_record_are_noticed(tmp_path: Path, record: str, said: str) -> None:
    made = make_wheel(tmp_path, {"sample.py": "", f"{DIST_INFO}/RECORD": record})

    with pytest.raises(PackagesError) as caught:
        read_wheel(made.path)
    assert said in (caught.value.detail or "")


def test_entry_points_that_are_none_are_refused(tmp_path: Path) -> None:
    made = make_wheel(tmp_path, {"sample.py": ""}, entry_points="[console_scripts]\nnothing\n")

    with pytest.raises(PackagesError, match="is not valid") as caught:
        read_wheel(made.path)
    assert caught.value.detail == "entry_points.txt has the line `nothing`"


def test_a_file_name_that_is_none_of_a_wheel_is_refused(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, {"sample.py": ""}).path
    other = path.rename(tmp_path / "sample.whl")

    with pytest.raises(PackagesError, match="is not valid"):
        read_wheel(other)


def test_a_pin_on_another_version_of_a_sibling_is_a_problem_and_a_range_is_not(tmp_path: Path) -> None:
    requires = ["dagster==1.0", "dagster-pipes==2.0; extra == 'x'", "dagster-shared>=9", "third==1"]
    wheel = read_wheel(make_wheel(tmp_path, {"sample.py": ""}, requires=requires).path)
    versions = dict.fromkeys(("dagster", "dagster-pipes", "dagster-shared"), "2.0")

    assert list(check_wheel(wheel, version="1.0", versions=versions)) == [
        "it requires `dagster==1.0`, but the repository has 2.0"
    ]


def test_the_canonical_form_does_not_depend_on_how_the_wheel_was_written(tmp_path: Path) -> None:
    files = {"b.py": "b", "a/__init__.py": "a", "sample-1.0.data/scripts/run": "#!python\n"}
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
    one = make_wheel(tmp_path / "one", files, executables=["sample-1.0.data/scripts/run"])
    other = make_wheel(
        tmp_path / "two",
        dict(reversed(files.items())),
        executables=["sample-1.0.data/scripts/run"],
        compression=zipfile.ZIP_STORED,
    )

    forms = [canonical_wheel(made.path, epoch=1_700_000_000) for made in (one, other)]

    names = []
    for form, directory in zip(forms, ("one", "two"), strict=True):
        path = tmp_path / directory / "sample-1.0-py3-none-any.whl"
        path.write_bytes(form)
        with zipfile.ZipFile(path) as archive:
            names.append(
                [(info.filename, info.external_attr >> 16, info.date_time) for info in archive.infolist()]
            )
    assert names[0] == names[1]
    assert [name for name, _mode, _time in names[0]][:3] == [
        "a/__init__.py",
        "b.py",
        "sample-1.0.data/scripts/run",
    ]
    assert [mode for name, mode, _time in names[0] if name.endswith("run")] == [0o100755]
    assert all(DIST_INFO in name for name, _mode, _time in names[0][3:])
