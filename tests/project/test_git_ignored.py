"""Git's opinion: counted, and obeyed on demand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.errors import ProjectError
from tests.support.repositories import git
from tests.support.selection import Write, select, texts


class TestGit:
    @pytest.fixture
    def repository(self, project: Path, write: Write) -> Path:
        git(project, "init", "-q")
        write(".gitignore", text="target/\n*.log\n!kept.log\nlogs/*\n")
        write("code.py", "target/manifest.json", "größe/a b.log", "kept.log", "forced.log", "logs/x", "old/x.log")
        git(project, "add", "-f", "forced.log", "code.py", ".gitignore")
        return project

    def test_what_git_ignores_is_packed_and_counted(self, repository: Path) -> None:
        selection = select(repository)
        assert {"target/manifest.json", "größe/a b.log", "logs/x", "old/x.log"} < {
            file.name for file in selection.files
        }
        assert selection.git_ignored == 4

    def test_it_is_left_out_on_demand(self, repository: Path) -> None:
        selection = select(repository, respect_gitignore=True)
        kept = [".gitignore", "code.py", "forced.log", "größe", "kept.log", "logs", "old"]
        assert [file.name for file in selection.files] == kept
        assert selection.git_ignored == 0

    def test_include_beats_git(self, repository: Path) -> None:
        selection = select(repository, "target/manifest.json", respect_gitignore=True)
        assert "target/manifest.json" in [file.name for file in selection.files]
        assert selection.git_ignored == 1

    def test_a_build_directory_inside_the_repository_obeys_the_outer_files(
        self, repository: Path, write: Write
    ) -> None:
        write("app/a.log", "app/a.py", "app/target/x")
        assert select(repository / "app").git_ignored == 2
        assert [file.name for file in select(repository / "app", respect_gitignore=True).files] == ["a.py"]

    def test_a_link_whose_target_git_ignores_goes_with_it(self, repository: Path) -> None:
        (repository / "manifest.json").symlink_to("target/manifest.json")
        selection = select(repository, respect_gitignore=True)
        assert "manifest.json" not in [file.name for file in selection.files]
        assert [text.split("`")[1] for text in texts(selection)] == ["manifest.json"]

    def test_a_nested_repository_is_asked_for_itself(self, repository: Path, write: Write) -> None:
        write("nested/.gitignore", text="*.tmp")
        git(repository / "nested", "init", "-q")
        write("nested/a.tmp", "nested/a.py")
        git(repository / "nested", "add", ".")
        git(repository / "nested", "commit", "-qm", "x")
        git(repository, "-c", "advice.addEmbeddedRepo=false", "add", "nested")  # now git calls it a submodule
        assert select(repository).git_ignored == 5
        kept = [file.name for file in select(repository, respect_gitignore=True).files]
        assert [name for name in kept if name.startswith("nested")] == ["nested/.gitignore", "nested/a.py"]

    def test_a_nested_repository_that_the_outer_one_ignores_goes_as_a_whole(
        self, repository: Path, write: Write
    ) -> None:
        write("target/nested/a.py")
        git(repository / "target/nested", "init", "-q")
        kept = [file.name for file in select(repository, respect_gitignore=True).files]
        assert [name for name in kept if name.startswith("target")] == []

    def test_a_repository_of_another_user_is_asked_all_the_same(self, repository: Path) -> None:
        if os.geteuid() == 0:
            for path in (repository, repository / ".git"):
                os.chown(path, 65534, 65534)
        assert select(repository).git_ignored == 4

    def test_the_variables_of_a_hook_do_not_mislead(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
        assert select(repository).git_ignored == 4

    def test_without_a_repository_nothing_is_ignored(self, project: Path, write: Write) -> None:
        write("a.log", ".gitignore", text="*.log")
        assert select(project).git_ignored == 0
        with pytest.raises(ProjectError, match="no git repository"):
            select(project, respect_gitignore=True)

    def test_without_an_answer_nothing_is_ignored(self, repository: Path) -> None:
        (repository / ".git/HEAD").unlink()
        assert select(repository).git_ignored == 0
        with pytest.raises(ProjectError, match="git could not say"):
            select(repository, respect_gitignore=True)

    def test_without_git_nothing_is_ignored(self, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(repository))
        assert select(repository).git_ignored == 0
        with pytest.raises(ProjectError, match="git could not say") as caught:
            select(repository, respect_gitignore=True)
        assert caught.value.remedy
