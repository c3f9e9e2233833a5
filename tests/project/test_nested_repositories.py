"""A git repository in the tree that is no submodule is not the project's: left out, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.repositories import git
from tests.support.selection import Write, select, texts


def repository(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    git(directory, "init", "-q")
    git(directory, "add", ".")
    git(directory, "commit", "-q", "--allow-empty", "-m", "one")
    return directory


def names(project: Path, *include: str) -> list[str]:
    return [file.name for file in select(project, *include).files]


@pytest.fixture
def outer(project: Path, write: Write) -> Path:
    write("code.py")
    return repository(project)


def test_a_checked_out_tool_is_left_out_and_named(outer: Path, write: Write) -> None:
    write("tools/linter/lint.py")
    repository(outer / "tools/linter")
    assert names(outer) == ["code.py", "tools"]
    (text,) = texts(select(outer))
    assert text.startswith("`tools/linter/` was left out: it is a git repository of its own, and no submodule")
    assert 'include = ["tools/linter/"]' in text


def test_include_takes_it_in(outer: Path, write: Write) -> None:
    write("tool/lint.py", "tool/data.csv")
    repository(outer / "tool")
    assert names(outer, "tool/") == ["code.py", "tool/data.csv", "tool/lint.py"]
    assert names(outer, "tool/*.csv") == ["code.py", "tool/data.csv"]


def test_bare_repositories_and_working_copies_of_other_systems_are_left_out_too(outer: Path, write: Write) -> None:
    write("svn/.svn/wc.db", "svn/x.py", "hg/.hg/requires", "hg/x.py", "jj/.jj/repo", "jj/x.py")
    git(outer, "init", "-q", "--bare", "mirror.git")
    write("kept/.hg/requires", "kept/x.py", "no/HEAD", "no/refs/x", "no/x.py")
    git(outer, "add", "kept/x.py")
    assert names(outer) == ["code.py", "kept/x.py", "no/HEAD", "no/refs/x", "no/x.py"]
    kinds = "a working copy of Mercurial", "a working copy of Jujutsu", "a bare git repository"
    said = texts(select(outer))
    assert len(said) == 4
    for kind in (*kinds, "a working copy of Subversion"):
        assert any(f"was left out: it is {kind}; if" in text for text in said)
    assert names(outer, "svn/") == ["code.py", "kept/x.py", "no/HEAD", "no/refs/x", "no/x.py", "svn/x.py"]


def test_another_worktree_of_the_project_is_left_out_too(outer: Path) -> None:
    git(outer, "worktree", "add", "-q", "other")
    assert names(outer) == ["code.py"]
    (text,) = texts(select(outer))
    assert text.startswith("`other/` was left out")


def test_a_submodule_belongs_and_what_is_nested_in_it_does_not(outer: Path, tmp_path: Path, write: Write) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library/lib.py").write_text("x")
    git(outer, "submodule", "add", "-q", str(repository(tmp_path / "library")), "libs/library")
    write("libs/library/cache/x.py")
    repository(outer / "libs/library/cache")
    assert names(outer) == [".gitmodules", "code.py", "libs/library/lib.py"]


def test_a_build_directory_below_the_root_of_its_repository(outer: Path, write: Write) -> None:
    write("location/code.py", "location/tool/lint.py")
    repository(outer / "location/tool")
    assert names(outer / "location") == ["code.py"]


def test_a_repository_in_a_tree_that_is_in_none_belongs(project: Path, write: Write) -> None:
    write("code.py", "dbt/model.sql")
    repository(project / "dbt")
    assert names(project) == ["code.py", "dbt/model.sql"]


def test_what_dbt_has_cloned_belongs_to_the_dbt_project(outer: Path, write: Write) -> None:
    write("dbt/dbt_project.yml", "dbt/dbt_packages/utils/dbt_project.yml", "dbt/dbt_packages/utils/macro.sql")
    repository(outer / "dbt/dbt_packages/utils")
    assert "dbt/dbt_packages/utils/macro.sql" in names(outer)


def test_a_directory_called_git_that_is_no_repository_changes_nothing(outer: Path, write: Write) -> None:
    write("fixtures/x.txt")
    (outer / "fixtures/.git").mkdir()
    assert names(outer) == ["code.py", "fixtures/x.txt"]
