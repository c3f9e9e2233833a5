"""Extras, dependency groups, and what two declarations say differently."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.requirements import RequestedExtras
from tests.support.requirements import package, read, texts, write

EXTRAS = """
[project.optional-dependencies]
aws = ["boto3"]
all = ["app[aws]", "orjson"]
[dependency-groups]
base = ["ruff"]
dev = ["pytest", {include-group = "base"}]
"""


@pytest.mark.parametrize(
    "wanted, expected",
    [
        (RequestedExtras(), []),
        (RequestedExtras(extras=("aws",)), ["boto3"]),
        (RequestedExtras(extras=("all",)), ["boto3", "orjson"]),
        (RequestedExtras(groups=("dev",)), ["pytest", "ruff"]),
    ],
)
def test_extras_and_groups_go_in_only_when_asked_for(
    tmp_path: Path, wanted: RequestedExtras, expected: list[str]
) -> None:
    package(tmp_path, "app", "dagster", more=EXTRAS)
    found = read(tmp_path, wanted)
    assert sorted(texts(found)) == sorted(["dagster", *expected])


OLDER = """
[tool.pdm.dev-dependencies]
orch = ["-e file:///${PROJECT_ROOT}/shared#egg=shared", "pytz"]
odd = ["pytz=1"]
[tool.uv]
dev-dependencies = ["ruff"]
"""


def test_groups_that_pdm_and_uv_declared_before_there_was_a_standard(tmp_path: Path) -> None:
    package(tmp_path / "shared", "shared", "orjson")
    package(tmp_path, "app", "dagster", more=OLDER)
    assert texts(read(tmp_path)) == ["dagster"]
    found = read(tmp_path, RequestedExtras(groups=("orch", "dev")))
    assert texts(found) == ["dagster", "pytz", "ruff", "orjson"]
    assert found.local_packages == (tmp_path, tmp_path / "shared")
    with pytest.raises(ProjectError, match="not a valid requirement"):
        read(tmp_path, RequestedExtras(groups=("odd",)))
    package(tmp_path, "app", "dagster", more='[dependency-groups]\ndev = ["pytest"]\n' + OLDER)
    assert texts(read(tmp_path, RequestedExtras(groups=("dev",)))) == ["dagster", "ruff", "pytest"]


@pytest.mark.parametrize(
    "wanted, what, remedy",
    [
        (RequestedExtras(extras=("azure",)), "no extra `azure`", "`aws`, `all`"),
        (RequestedExtras(groups=("test",)), "no dependency group `test`", "`base`, `dev`"),
    ],
)
def test_an_unknown_extra_or_group_is_refused(
    tmp_path: Path, wanted: RequestedExtras, what: str, remedy: str
) -> None:
    package(tmp_path, "app", "dagster", more=EXTRAS)
    with pytest.raises(ProjectError, match=what) as caught:
        read(tmp_path, wanted)
    assert remedy in str(caught.value.remedy)


def test_extras_asked_by_name_of_a_local_package(tmp_path: Path) -> None:
    package(tmp_path / "shared", "shared", "pytz", more='[project.optional-dependencies]\nfast = ["orjson"]\n')
    package(tmp_path / "app", "app", "shared[fast]")
    write(tmp_path / "app" / "requirements.txt", "-e ../shared\n")
    assert texts(read(tmp_path / "app")) == ["pytz", "orjson"]


def test_what_two_declarations_say_differently_is_named(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster", "pandas>=2", "six")
    write(tmp_path / "requirements.txt", "-e .\npandas<3\ndagster\npytz\n")
    (notice,) = read(tmp_path).notices
    assert notice.text == (
        "pyproject.toml and requirements.txt differ, and both are used: only in pyproject.toml: `six`;"
        " only in requirements.txt: `pytz`; different: `pandas>=2` and `pandas<3`; say it in one of them"
    )


def test_an_export_beside_its_project_is_no_disagreement(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster>=1.10", "pandas>=2")
    pins = "-e .\ndagster==1.13.27\nalembic==1.18.4\npandas==2.3.3\nnumpy==2.4.1\n"
    write(tmp_path / "requirements.txt", pins)
    assert read(tmp_path).notices == ()
    write(tmp_path / "requirements.txt", pins.replace("pandas==2", "pandas==1"))
    (notice,) = read(tmp_path).notices
    assert "both are used: different: `pandas>=2` and `pandas==1.3.3`; " in notice.text


def test_a_requirements_txt_that_only_installs_the_project_is_no_disagreement(tmp_path: Path) -> None:
    package(tmp_path, "app", "dagster")
    write(tmp_path / "requirements.txt", "-e .\n")
    assert read(tmp_path).notices == ()
