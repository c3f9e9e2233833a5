"""The order of requirements when resolving, and keeping dagster and dagster-cloud at matching versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ResolutionError
from builder.resolution.resolve import Resolution, resolve
from builder.resolution.target import serverless_target
from tests.support.index import Index, serving
from tests.support.requirements import read, write
from tests.support.wheels import make_wheel


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index where dagster is newer than dagster-cloud, whose years-old releases do not pin dagster."""
    shelf = tmp_path_factory.mktemp("shelf")
    with serving(shelf) as index:

        def release(name: str, version: str, year: int, *requires: str) -> None:
            wheel = make_wheel(
                shelf, {f"{name.replace('-', '_')}.py": ""}, name=name, version=version, requires=requires
            )
            index.uploaded[wheel.path.name] = f"{year}-03-01T00:00:00Z"

        for version in ("1.13.27", "1.14.1"):
            release("dagster", version, 2026)
        release("dagster-cloud", "1.13.27", 2026, "dagster==1.13.27")
        release("dagster-cloud", "0.11.14rc8", 2021, "dagster")
        release("dagster-gcp", "0.29.27", 2026, "dagster==1.13.27")
        release("dagster-gcp", "0.11.14", 2021, "dagster")
        release("dagster-rays", "0.2.0", 2022, "dagster")
        release("soup", "4.0", 2026)
        # The newest version of each requires an older version of the other.
        release("left", "1.0", 2026)
        release("left", "2.0", 2026, "right==1.0")
        release("right", "1.0", 2026)
        release("right", "2.0", 2026, "left==1.0")
        yield index


@pytest.fixture
def project(tmp_path: Path, releases: Index, monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> Path:
    monkeypatch.setenv("UV_DEFAULT_INDEX", releases.url)
    assert not empty_cache.exists()
    return tmp_path / "project"


def resolved(project: Path, *requirements: str) -> Resolution:
    write(project / "requirements.txt", "".join(f"{line}\n" for line in requirements))
    return resolve(read(project), serverless_target("3.11"))


def test_the_order_that_the_project_wrote_decides_what_is_newest(project: Path) -> None:
    serverless = ("dagster==1.13.27", "dagster-cloud==1.13.27")
    versions = resolved(project, *serverless, "left", "right").lock.versions
    assert (versions["left"], versions["right"]) == ("2.0", "1.0")
    versions = resolved(project, "right", "left", *serverless).lock.versions
    assert (versions["left"], versions["right"]) == ("1.0", "2.0")


def test_the_first_mention_counts(project: Path) -> None:
    write(project / "more.txt", "right\nleft\n")
    versions = resolved(project, "dagster-cloud==1.13.27", "dagster", "left", "-r more.txt").lock.versions
    assert (versions["left"], versions["right"]) == ("2.0", "1.0")


@pytest.mark.parametrize(
    "order",
    [
        ["dagster", "dagster-cloud"],
        ["soup", "dagster", "dagster-cloud", "dagster-gcp"],
        ["soup", "dagster>=1", "dagster-gcp", "dagster-cloud"],
    ],
)
def test_the_newest_series_that_both_have_is_taken_whatever_the_order(project: Path, order: list[str]) -> None:
    resolution = resolved(project, *order)
    versions = resolution.lock.versions
    assert (versions["dagster"], versions["dagster-cloud"]) == ("1.13.27", "1.13.27")
    assert versions.get("dagster-gcp", "0.29.27") == "0.29.27"
    (notice,) = resolution.notices
    assert "`dagster-cloud` first" in notice.text
    assert notice.where
    assert notice.where.line == order.index("dagster-cloud") + 1


def test_what_is_good_in_the_written_order_is_resolved_once(project: Path) -> None:
    resolution = resolved(project, "dagster-cloud", "soup", "dagster", "dagster-gcp")
    assert resolution.lock.versions["dagster"] == "1.13.27"
    assert resolution.notices == ()


def test_a_library_of_others_may_be_old(project: Path) -> None:
    resolution = resolved(project, "dagster-cloud", "dagster", "dagster-rays")
    assert resolution.lock.versions["dagster-rays"] == "0.2.0"
    assert resolution.notices == ()


@pytest.mark.parametrize("asked", [["dagster-cloud"], []])
def test_a_pin_that_dagster_cloud_does_not_have_yet_is_an_error_that_names_what_both_have(
    project: Path, asked: list[str]
) -> None:
    with pytest.raises(ResolutionError) as caught:
        resolved(project, "soup", "dagster==1.14.1", *asked)
    assert caught.value.what == "dagster 1.14.1 and dagster-cloud 0.11.14rc8 cannot work together"
    assert caught.value.remedy
    assert "`dagster==1.13.27` and `dagster-cloud==1.13.27`" in caught.value.remedy
    assert str(caught.value.where).endswith("requirements.txt:2")
    # Where nobody asked for it, nobody is told to write down the old one.
    assert "was added" not in str(caught.value.detail)
