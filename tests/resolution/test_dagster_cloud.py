"""Adding `dagster-cloud` to projects that require only dagster, with and without a lock of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.system import storage
from tests.support.commands import DAGSTER, Workshop, workshop
from tests.support.wheels import make_wheel


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workshop]:
    with workshop(tmp_path) as made:
        yield made
        made.assert_clean()


def locked(place: Workshop) -> dict[str, str]:
    (path,) = place.out.glob("*.pylock.toml")
    return {package["name"]: package["version"] for package in tomllib.loads(path.read_text())["packages"]}


def pylock(place: Workshop, version: str) -> str:
    wheel = place.index.directory / f"dagster-{version}-py3-none-any.whl"
    url = place.index.url.replace("/simple/", "/files/") + wheel.name
    return (
        f'lock-version = "1.0"\ncreated-by = "a test"\n[[packages]]\nname = "dagster"\nversion = "{version}"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{storage.sha256_of(wheel)}" }} }}]\n'
    )


@pytest.mark.parametrize(
    "text, version, added",
    [
        (f"dagster=={DAGSTER}\n", DAGSTER, DAGSTER),
        # The newest matching versions of both, although there is a newer dagster.
        ("dagster\n", "1.13.26", "1.13.26"),
    ],
)
def test_the_dagster_cloud_of_dagsters_version_is_added(
    place: Workshop, text: str, version: str, added: str
) -> None:
    shelf = place.index.directory
    if version != DAGSTER:
        (shelf / f"dagster_cloud-{DAGSTER}-py3-none-any.whl").unlink()
        make_wheel(shelf, {}, name="dagster", version=version)
        make_wheel(shelf, {}, name="dagster-cloud", version=version, requires=[f"dagster=={version}"])
    project = place.project({"requirements.txt": text})
    ran = place.build(project).succeeded()
    assert locked(place) == {"dagster": version, "dagster-cloud": added}
    assert f"requirements.txt:1: `dagster-cloud=={added}` was added" in ran.stderr
    assert f"add to `requirements.txt`: a line `dagster-cloud=={added}`" in ran.stderr


def test_a_lock_keeps_what_it_has(place: Workshop) -> None:
    make_wheel(place.index.directory, {}, name="dagster", version="1.99.0")
    make_wheel(place.index.directory, {}, name="dagster-cloud", version="1.99.0")
    project = place.project({"requirements.txt": "", "pylock.toml": pylock(place, DAGSTER)})
    ran = place.build(project).succeeded()
    assert locked(place) == {"dagster": DAGSTER, "dagster-cloud": DAGSTER}
    assert f"pylock.toml: `dagster-cloud=={DAGSTER}` was added" in ran.stderr


def test_a_locked_dagster_without_a_dagster_cloud_is_refused(place: Workshop) -> None:
    make_wheel(place.index.directory, {}, name="dagster", version="1.99.0")
    project = place.project({"requirements.txt": "", "pylock.toml": pylock(place, "1.99.0")})
    error = place.build(project).failed()
    assert "`dagster-cloud` is not in the lock, and `dagster-cloud==1.99.0` does not go with what is" in error
    assert "where: " in error
    assert "Lock a dagster of which there is a dagster-cloud" in error


def test_without_dagster_nothing_is_added(place: Workshop) -> None:
    make_wheel(place.index.directory, {}, name="tool")
    error = place.build(place.project({"requirements.txt": "tool\n"})).failed()
    assert "`dagster` and `dagster-cloud` are not among what the project requires" in error
