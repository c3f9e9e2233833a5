"""Checkouts that lack what CI's checkout leaves out by default; each is told with the line of the workflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.building.steps import select_source
from builder.errors import Origin, ProjectError
from builder.project.incomplete_checkout import history_notices
from builder.project.location import SourceTree
from builder.project.metadata import Metadata
from builder.project.requirements import read_requirements
from tests.support.commands import write_tree
from tests.support.repositories import Repository

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 18151\n"
WORKFLOW = "jobs:\n  deploy:\n    steps:\n      - name: Check out\n        uses: actions/checkout@v5\n"
MODULES = '[submodule "shared"]\n\tpath = libs/shared\n\turl = https://example.com/shared.git\n'
MARKERS = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux"}


def no_build(directory: Path) -> Metadata:
    raise AssertionError(directory)


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    repository = Repository.create(tmp_path / "checkout")
    write_tree(repository.path, {"app/requirements.txt": "dagster\n", "app/code.py": ""})
    return repository


def notices(directory: Path) -> list[tuple[str, Origin | None]]:
    found = select_source(SourceTree(directory, directory), directory / "out", ()).notices
    return [(notice.text, notice.where) for notice in found]


def test_a_pointer_of_git_lfs_is_not_taken_for_data(checkout: Repository) -> None:
    app = checkout.path / "app"
    write_tree(
        app, {"data/rates.parquet": POINTER, "data/small.csv": "version 1\n", "about.md": f"see\n{POINTER}"}
    )
    ((text, where),) = notices(app)
    assert "git-lfs has not fetched `data/rates.parquet`" in text
    assert "run `git lfs pull`, or write `lfs: true` under `with:` of `actions/checkout`" in text
    assert where is None
    write_tree(checkout.path, {".github/workflows/deploy.yml": WORKFLOW})
    write_tree(app, {f"data/{number}.bin": POINTER for number in range(4)})
    ((text, where),) = notices(app)
    assert "`data/0.bin`, `data/1.bin`, `data/2.bin` and 2 more" in text
    assert "write `lfs: true` under `with:` of this step" in text
    assert where == Origin(checkout.path / ".github/workflows/deploy.yml", 5)


def test_the_workflow_that_runs_is_named(checkout: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKFLOW_REF", "acme/etl/.github/workflows/release.yaml@refs/heads/main")
    flow = "steps:\n- uses: 'actions/checkout@0123'\n"
    write_tree(checkout.path, {".github/workflows/a.yml": WORKFLOW, ".github/workflows/release.yaml": flow})
    write_tree(checkout.path / "app", {"x.bin": POINTER})
    ((_, where),) = notices(checkout.path / "app")
    assert where == Origin(checkout.path / ".github/workflows/release.yaml", 2)


def test_an_empty_submodule_is_told_and_is_no_local_package(checkout: Repository) -> None:
    app = checkout.path / "app"
    (app / "libs/shared").mkdir(parents=True)
    write_tree(checkout.path, {".gitmodules": MODULES.replace("libs", "app/libs")})
    write_tree(checkout.path, {".github/workflows/deploy.yml": WORKFLOW})
    ((text, where),) = notices(app)
    assert "the submodule `libs/shared` is empty: it is not checked out; write `submodules: true`" in text
    assert where == Origin(checkout.path / ".github/workflows/deploy.yml", 5)
    (app / "requirements.txt").write_text("dagster\n./libs/shared\n")
    with pytest.raises(ProjectError, match="but is none") as raised:
        read_requirements(app, MARKERS, no_build)
    assert "It is a submodule that is not checked out: write `submodules: true`" in str(raised.value.remedy)
    (app / "libs/shared/file").write_text("")
    assert notices(app) == []


def test_a_shallow_clone_without_a_tag_has_no_version(checkout: Repository, tmp_path: Path) -> None:
    checkout.git("add", "--all")
    checkout.commit("one")
    checkout.git("tag", "v1")
    checkout.commit("two")
    checkout.git("clone", "-q", "--depth=1", f"file://{checkout.path}", str(tmp_path / "shallow"))
    ((notice),) = history_notices([tmp_path / "shallow" / "app"])
    assert "`app` takes its version from git, and this clone is shallow and has no tag" in notice.text
    assert "run `git fetch --unshallow --tags`" in notice.text
    assert "`fetch-depth: 0`" in notice.text
    assert not list(history_notices([checkout.path / "app", tmp_path]))
