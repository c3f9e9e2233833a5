"""What became of each package: results of steps, failures that do not count, and the report on all of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from builder.errors import PackagesError
from builder.packages.attempts import Failure
from builder.packages.known_failures import LIST, read_known_failures
from builder.packages.results import State, Step, StepResult, failed_result, write_results
from tests.support.commands import Ran, run_command, write_tree
from tests.support.index import serving
from tests.support.monorepo import make_monorepo
from tests.support.programs import REPOSITORY
from tests.support.schemas import check_schema
from tests.support.wheels import make_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def _run(*arguments: str | Path, **variables: str) -> Ran:
    return run_command("packages", *arguments, directory=REPOSITORY, **variables)


def _result(step: Step, package: str, state: State = "passed", **facts: object) -> StepResult:
    if state == "passed":
        return StepResult(package=package, step=step, facts=facts)
    failure = Failure(
        package, PackagesError(f"{package} is broken"), "known: of old" if state == "excused" else None
    )
    return failed_result(step, failure, facts)


def _built(package: str, *requires: str, unpublished: str | None = None, selected: bool = True) -> StepResult:
    facts = {
        "version": "1.2",
        "wheels": [f"{package}-1.2-py3-none-any.whl"],
        "requires": requires,
        "selected": selected,
        "unpublished": unpublished,
    }
    return StepResult(package=package, step="build", facts=facts)


def test_one_table_says_what_became_of_each_package(tmp_path: Path) -> None:
    digest = f"sha256:{'a' * 64}"
    write_results(
        tmp_path / "results",
        [
            *(_built("good", "base"), _result("check", "good"), _result("image", "good", digest=digest)),
            _result("push", "good", name="ghcr.io/acme/good", tags=["1.2", "latest"], digest=digest),
            _built("base", selected=False),
            *(_built("old"), _result("check", "old", "excused")),
            *(_built("bad"), _result("check", "bad", "failed")),
            _result("build", "unbuilt", "failed", version="1.2", requires=[]),
        ],
    )

    ran = _run(
        *("report", tmp_path / "results", "--out", tmp_path / "result.json"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
    )

    assert "error: 2 of 5 packages failed: bad, unbuilt" in ran.failed()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in ran.stdout.splitlines()}
    assert rows["good"] == f"1.2 good-1.2-py3-none-any.whl passed {digest} 1.2, latest"
    assert rows["base"] == "1.2 base-1.2-py3-none-any.whl - - -"
    assert rows["old"] == "1.2 old-1.2-py3-none-any.whl fails, excused - -"
    assert rows["unbuilt"] == "1.2 FAILED - - -"
    assert "bad, check: bad is broken" in ran.stderr
    summary = (tmp_path / "summary").read_text()
    assert "old is broken\n(does not count, known: of old)" in summary
    document = json.loads((tmp_path / "result.json").read_text())
    check_schema("result", document)
    for path in (tmp_path / "results").iterdir():
        check_schema("step-result", json.loads(path.read_text()))
    packages = {each["name"]: each for each in document["packages"]}
    assert {name: each["state"] for name, each in packages.items()} == {
        "bad": "failed",
        "base": "passed",
        "good": "passed",
        "old": "excused",
        "unbuilt": "failed",
    }
    assert packages["good"]["steps"]["push"]["tags"] == ["1.2", "latest"]
    assert packages["bad"]["steps"]["check"]["why"] == "bad is broken"
    assert [name for name, each in packages.items() if each["publish"]] == ["base", "good"]


def test_only_what_can_be_installed_afterwards_is_published(tmp_path: Path) -> None:
    write_results(
        tmp_path,
        [
            # Needs, by way of another, what fails; needs what is never published.
            *(_built("top", "middle"), _result("check", "top"), _built("middle", "broken", selected=False)),
            *(_built("broken"), _result("check", "broken", "excused")),
            *(_built("tool", "its-tests"), _result("check", "tool"), _built("its-tests", unpublished="for tests")),
            *(_built("fine"), _result("check", "fine"), _built("unasked")),
        ],
    )
    out = tmp_path.with_suffix(".json")

    _run("report", tmp_path, "--out", out).succeeded()

    assert [each["name"] for each in json.loads(out.read_text())["packages"] if each["publish"]] == ["fine"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"package": "x", "more": 1}'])
def test_what_is_no_result_is_told(tmp_path: Path, text: str) -> None:
    if text:
        (tmp_path / "x.check.json").write_text(text)

    assert ("is no result of a step" if text else "there are no results in") in _run("report", tmp_path).failed()


@pytest.mark.parametrize(
    "text, line, said",
    [
        ('[other]\nreason = "x"\nsince = 2026-11-29\n', 1, "`other` is no package of the repository"),
        ('\n[dagster-x]\nreason = "x"\n', 2, "the entry of `dagster-x` must have a reason and a date"),
        ('[dagster-x]\nreason = "x"\nsince = "2026"\n', 1, "must have a reason and a date"),
        ('dagster-x = "broken"\n', 1, "must have a reason and a date"),
    ],
)
def test_a_list_of_known_failures_that_is_not_valid_is_told(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    write_tree(tmp_path, {LIST: text})

    with pytest.raises(PackagesError, match=said) as caught:
        read_known_failures(tmp_path, ["dagster-x"])
    assert caught.value.where is not None
    assert caught.value.where.line == line


@pytest.mark.slow
@pytest.mark.network
def test_failures_that_are_known_or_published_do_not_count_until_they_are_no_more(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "pyproject").path
    celery = "python_modules/libraries/dagster-celery/dagster_celery/__init__.py"
    dbt = "python_modules/libraries/dagster-dbt/dagster_dbt/__init__.py"
    entry = '[{0}]\nreason = "lacks a dependency"\nsince = 2026-11-29\n'
    write_tree(
        repository,
        {
            celery: "import flower\n",
            dbt: "import dbt_core\n",
            LIST: entry.format("dagster-celery") + entry.format("dagster-pipes"),
        },
    )
    house, results = tmp_path / "house", tmp_path / "results"
    _run("version", repository, "--version", "1.13.30").succeeded()
    select = ["--select", "dagster-celery,dagster-dbt,dagster-pipes,dagster"]
    _run("build", repository, "--out", house, *select, "--results", results).succeeded()
    _run("lock", house, "--python-version", PYTHON, "--results", results).succeeded()
    checking: list[str | Path] = ["check", house, *select, "--python-version", PYTHON, "--results", results]

    checked = _run(*checking)

    error = checked.stderr
    assert checked.code == 1
    assert "warning: " in error
    assert (
        "`dagster-celery` 0.29.30 does not work; this does not count, known: lacks a dependency (since 2026-"
        in error
    )
    assert "error: dagster-pipes: `dagster-pipes` works, but .github/known-failures.toml says" in error
    assert error.rstrip().endswith("error: 2 of 4 packages could not be checked: dagster-dbt, dagster-pipes")

    # As the published release has the same failure, but not if it has another.
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for version, missing in (("0.29.28", "import dbt_core\n"), ("0.29.31", "")):
        make_wheel(shelf, {"dagster_dbt/__init__.py": missing}, name="dagster-dbt", version=version)
    with serving(shelf) as index:
        (house / "wheelhouse.json").write_text(
            (house / "wheelhouse.json").read_text().replace('"dagster-pipes": "lacks', '"no-more": "lacks')
        )
        # The locks name what the default index has.
        compared = _run(*checking, "--compare-published", UV_INDEX=index.url).succeeded()
        assert (
            "the published release 0.29.28 fails too: import dagster_dbt: ModuleNotFoundError" in compared.stderr
        )
        make_wheel(shelf, {"dagster_dbt/__init__.py": "import other\n"}, name="dagster-dbt", version="0.29.29")
        differing = _run(*checking, "--compare-published", UV_INDEX=index.url)
    assert "error: 1 of 4 packages could not be checked: dagster-dbt" in differing.stderr
    shown = _run("report", results)
    assert "error: 1 of 5 packages failed: dagster-dbt" in shown.stderr
