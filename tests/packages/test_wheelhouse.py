"""Reading and writing wheelhouse.json."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from builder.errors import PackagesError, UsageError
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse, read_wheelhouse, unknown_names, write_wheelhouse

_WHEEL = b"a wheel"


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Wheelhouse:
    package = BuiltPackage(
        name="dagster-webserver",
        version="1.13.30.dev42+gabc1234",
        import_names=("dagster_webserver",),
        console_scripts=("dagster-webserver",),
        wheel="dagster_webserver-1.13.30.dev42+gabc1234-py3-none-any.whl",
        sha256=hashlib.sha256(_WHEEL).hexdigest(),
        size=len(_WHEEL),
        requires=("dagster", "dagster-graphql"),
        family="core",
        has_webapp=True,
        summary="Web UI for dagster.",
    )
    (tmp_path / package.wheel).write_bytes(_WHEEL)
    made = Wheelhouse(directory=tmp_path, commit="a" * 40, source_date_epoch=1_700_000_000, packages=(package,))
    write_wheelhouse(made)
    return made


def test_what_is_written_is_read(wheelhouse: Wheelhouse) -> None:
    assert read_wheelhouse(wheelhouse.directory) == wheelhouse
    document = json.loads((wheelhouse.directory / "wheelhouse.json").read_text())
    assert list(document) == ["schema", "repository", "packages", "known_failures"]
    assert list(document["packages"][0]) == [field.name for field in dataclasses.fields(BuiltPackage)]


def test_the_sums_are_those_of_sha256sum(wheelhouse: Wheelhouse) -> None:
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=wheelhouse.directory, check=True
    )


def test_packages_are_found_however_spelt(wheelhouse: Wheelhouse) -> None:
    package = wheelhouse.package("Dagster_Webserver")

    assert wheelhouse.wheel_path(package).read_bytes() == _WHEEL
    assert wheelhouse.lock_path(package) == wheelhouse.directory / "locks" / "dagster-webserver.txt"


def test_an_unknown_name_comes_with_the_nearest(wheelhouse: Wheelhouse) -> None:
    with pytest.raises(UsageError) as caught:
        wheelhouse.package("dagster-webservice")
    assert caught.value.detail == "`dagster-webservice`: perhaps dagster-webserver"


@pytest.mark.parametrize(
    "name, nearest",
    [
        ("dagster-airflow", ""),
        ("dagster-web", ""),
        ("dagster-postgress", "dagster-postgres"),
        ("Dagster_Postgress", "dagster-postgres"),
        ("postgres", "dagster-postgres"),
        ("dagstr", "dagster, create-dagster"),
        ("dagstr-cron", "dagster-cron"),
        ("create-dagstr", "create-dagster"),
        ("al", "all"),
    ],
)
def test_what_all_names_begin_with_makes_none_the_nearest(name: str, nearest: str) -> None:
    known = ["all", "create-dagster", "dagit", "dagster", "dagster-cron", "dagster-k8s", "dagster-postgres"]
    detail = unknown_names([name], [*known, "dagster-webserver"], "x").detail
    assert detail == f"`{name}`" + (f": perhaps {nearest}" if nearest else "")


def test_a_wheel_that_changed_or_went_is_noticed(wheelhouse: Wheelhouse) -> None:
    wheelhouse.check_wheels()
    path = wheelhouse.wheel_path(wheelhouse.packages[0])
    path.write_bytes(b"another wheel")
    with pytest.raises(PackagesError, match="differs from what was built"):
        wheelhouse.check_wheels()
    path.unlink()
    with pytest.raises(PackagesError, match="is missing"):
        wheelhouse.check_wheels()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"repository": {}},
        {"packages": [{"name": "x"}]},
        {"packages": None},
    ],
)
def test_a_file_of_another_form_is_refused(wheelhouse: Wheelhouse, change: dict[str, object]) -> None:
    path = wheelhouse.directory / "wheelhouse.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(PackagesError):
        read_wheelhouse(wheelhouse.directory)


@pytest.mark.parametrize(
    "change", [{"wheel": "../x.whl"}, {"family": "third"}, {"requires": "dagster"}, {"version": 1}]
)
def test_an_entry_of_another_form_is_refused(wheelhouse: Wheelhouse, change: dict[str, object]) -> None:
    path = wheelhouse.directory / "wheelhouse.json"
    document = json.loads(path.read_text())
    document["packages"][0].update(change)
    path.write_text(json.dumps(document))

    with pytest.raises(PackagesError):
        read_wheelhouse(wheelhouse.directory)


def test_a_directory_without_is_no_wheelhouse(tmp_path: Path) -> None:
    with pytest.raises(PackagesError, match="is not a wheelhouse"):
        read_wheelhouse(tmp_path)
