"""What becomes of symlinks: they stay, are replaced, are left out, or are an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.files import ProjectFile, Selection, copy_tree, select_files
from tests.support.selection import Write, writer


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a build directory `app` beside a directory `shared`."""
    root = tmp_path / "repository"
    (root / ".git").mkdir(parents=True)
    (root / "app").mkdir()
    (root / "shared").mkdir()
    return root


@pytest.fixture
def write(repository: Path) -> Write:
    return writer(repository)


def link(path: Path, target: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def select(repository: Path, *include: str, out_dir: Path | None = None) -> Selection:
    return select_files(repository / "app", include=include, respect_gitignore=False, out_dir=out_dir)


def by_name(selection: Selection) -> dict[str, ProjectFile]:
    return {file.name: file for file in selection.files}


def links(selection: Selection) -> dict[str, str]:
    return {file.name: file.link for file in selection.files if file.link is not None}


def left_out(selection: Selection) -> list[str]:
    """The names that the notices are about."""
    return [notice.text.split("`")[1] for notice in selection.notices]


class TestInside:
    def test_a_link_stays_a_link_with_its_own_text(self, repository: Path, write: Write) -> None:
        write("app/data/a b.csv", "app/run.sh")
        link(repository / "app/file", "data/a b.csv")
        link(repository / "app/directory", "data")
        link(repository / "app/package/up", "../run.sh")
        link(repository / "app/chain", "directory/a b.csv")
        link(repository / "app/self", ".")
        assert links(select(repository)) == {
            "chain": "directory/a b.csv",
            "directory": "data",
            "file": "data/a b.csv",
            "package/up": "../run.sh",
            "self": ".",
        }

    def test_a_kept_link_says_where_it_is_and_has_a_plain_mode(self, repository: Path, write: Write) -> None:
        write("app/run.sh").chmod(0o755)
        link(repository / "app/run", "run.sh")
        found = by_name(select(repository))["run"]
        assert found == ProjectFile("run", repository / "app/run", 0o644, "run.sh")

    def test_a_text_that_would_not_lead_there_in_a_copy_is_rewritten(self, repository: Path, write: Write) -> None:
        write("app/data/a.csv", "app/package/b.csv")
        link(repository / "app/package/absolute", repository / "app/data/a.csv")
        link(repository / "app/package/around", "../../app/data/a.csv")
        link(repository / "app/root", repository / "app")
        link(repository / "app/same", repository / "app/package/b.csv")
        assert links(select(repository)) == {
            "package/absolute": "../data/a.csv",
            "package/around": "../data/a.csv",
            "root": ".",
            "same": "package/b.csv",
        }

    def test_a_link_through_one_that_was_left_out_leads_straight_there(
        self, repository: Path, write: Write
    ) -> None:
        write("app/data/a.csv")
        write("app/.builderignore", text="middle")
        link(repository / "app/middle", "data")
        link(repository / "app/file", "middle/a.csv")
        assert links(select(repository)) == {"file": "data/a.csv"}

    def test_without_a_repository_links_inside_stay(self, tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        (tmp_path / "app/a").touch()
        link(tmp_path / "app/b", "a")
        assert links(select(tmp_path)) == {"b": "a"}

    def test_the_build_directory_may_be_reached_through_a_link(self, repository: Path, write: Write) -> None:
        write("app/a")
        link(repository / "app/b", "a")
        link(repository / "current", "app")
        selection = select_files(
            repository / "current", include=(), respect_gitignore=False, out_dir=repository / "current/out"
        )
        assert links(selection) == {"b": "a"}

    def test_all_links_of_a_copy_lead_where_they_did(self, repository: Path, write: Write, tmp_path: Path) -> None:
        write("app/data/a", text="A")
        write("shared/pkg/b", text="B")
        link(repository / "app/one", repository / "app/data")
        link(repository / "app/two/three", "../one/a")
        link(repository / "app/pkg", "../shared/pkg")
        link(repository / "shared/pkg/again", "b")
        link(repository / "shared/pkg/back", "../../app/data/a")
        copy_tree(select(repository), tmp_path / "copy")
        read = {
            str(path.relative_to(tmp_path / "copy")): path.read_text()
            for path in (tmp_path / "copy").rglob("*")
            if path.is_file()
        }
        assert read == {"data/a": "A", "two/three": "A", "pkg/b": "B", "pkg/again": "B", "pkg/back": "A"}
        assert (tmp_path / "copy/one/a").read_text() == "A"


class TestElsewhereInTheRepository:
    def test_a_file_takes_its_links_place(self, repository: Path, write: Write) -> None:
        write("shared/run.sh").chmod(0o755)
        link(repository / "app/run", "../shared/run.sh")
        found = by_name(select(repository))
        assert found == {"run": ProjectFile("run", repository / "shared/run.sh", 0o755)}

    def test_a_directory_takes_its_links_place_by_the_same_rule(self, repository: Path, write: Write) -> None:
        write("shared/lib/a.py", "shared/lib/__pycache__/a.pyc", "shared/lib/.env", "shared/lib/x.tmp")
        write("shared/lib/deep/data.csv")
        (repository / "shared/lib/empty").mkdir()
        write("shared/lib/.builderignore", text="/x.tmp")
        write("app/.builderignore", text="/lib/deep/data.csv")
        link(repository / "app/lib", repository / "shared/lib")
        selection = select(repository)
        assert list(by_name(selection)) == [
            ".builderignore",
            "lib/.builderignore",
            "lib/a.py",
            "lib/deep",
            "lib/empty",
        ]
        assert selection.secrets == ("lib/.env",)
        assert by_name(selection)["lib/a.py"].path == repository / "shared/lib/a.py"

    def test_links_in_it_stay_links_among_themselves(self, repository: Path, write: Write) -> None:
        write("shared/lib/a", "shared/other", "app/data")
        link(repository / "shared/lib/b", "a")
        link(repository / "shared/lib/c", repository / "shared/lib/a")
        link(repository / "shared/lib/up", "../other")
        link(repository / "shared/lib/home", "../../app/data")
        link(repository / "app/lib", "../shared/lib")
        selection = select(repository)
        assert links(selection) == {"lib/b": "a", "lib/c": "a", "lib/home": "../data"}
        assert by_name(selection)["lib/up"].path == repository / "shared/other"

    def test_cycles_end(self, repository: Path, write: Write) -> None:
        write("shared/a/file", "shared/b/file")
        link(repository / "shared/a/to-b", "../b")
        link(repository / "shared/b/to-a", "../a")
        link(repository / "shared/b/to-b", ".")
        link(repository / "app/a", "../shared/a")
        selection = select(repository)
        assert links(selection) == {"a/to-b/to-a": "..", "a/to-b/to-b": "."}
        assert list(by_name(selection)) == ["a/file", "a/to-b/file", "a/to-b/to-a", "a/to-b/to-b"]

    def test_a_directory_around_a_replaced_one_ends_too(self, repository: Path, write: Write) -> None:
        write("shared/a/file")
        link(repository / "shared/a/up", "..")
        link(repository / "app/a", "../shared/a")
        selection = select(repository)
        assert list(by_name(selection)) == ["a/file", "a/up/a/file", "a/up/a/up"]
        assert links(selection) == {"a/up/a/up": ".."}

    @pytest.mark.parametrize(
        "target", [".env", "keys/server.pem", ".aws/config", ".aws", "home/.ssh/known_hosts", "deploy.key"]
    )
    def test_a_secret_is_not_smuggled_in(self, repository: Path, write: Write, target: str) -> None:
        write("deploy.key", text="-----BEGIN PRIVATE KEY-----\n")
        write(".env", "keys/server.pem", ".aws/config", "home/.ssh/known_hosts")
        link(repository / "app/settings", repository / target)
        selection = select(repository)
        assert by_name(selection) == {}
        assert selection.secrets == ("settings",)

    @pytest.mark.parametrize(
        "target", [".git/hooks", ".venv/lib/site-packages", "ui/node_modules/a/b.js", "out/x"]
    )
    def test_a_leftover_is_not_smuggled_in(self, repository: Path, write: Write, target: str) -> None:
        write(".venv/pyvenv.cfg", ".git/hooks/pre-commit", ".venv/lib/site-packages/x.py")
        write("ui/node_modules/a/b.js", "out/x")
        link(repository / "app/link", repository / target)
        selection = select(repository, out_dir=repository / "out")
        assert by_name(selection) == {}
        assert left_out(selection) == ["link"]

    def test_what_is_asked_for_comes_all_the_same(self, repository: Path, write: Write) -> None:
        write(".env", "out/x", ".aws/server.pem")
        link(repository / "app/settings", "../.env")
        link(repository / "app/x", "../out/x")
        link(repository / "app/aws", "../.aws")
        selection = select(repository, "settings", "x", "aws", out_dir=repository / "out")
        assert {name: file.path for name, file in by_name(selection).items()} == {
            "aws/server.pem": repository / ".aws/server.pem",
            "settings": repository / ".env",
            "x": repository / "out/x",
        }
        assert (selection.secrets, selection.notices) == ((), ())


class TestLeftOut:
    def test_a_link_to_a_virtual_environment_goes_silently(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "venvs/x").mkdir(parents=True)
        (tmp_path / "venvs/x/pyvenv.cfg").touch()
        link(repository / "app/.venv", tmp_path / "venvs/x")
        link(repository / "app/node_modules", tmp_path / "venvs")
        selection = select(repository)
        assert (selection.files, selection.notices) == ((), ())

    def test_a_dangling_link_is_noticed(self, repository: Path) -> None:
        link(repository / "app/gone", "nowhere")
        link(repository / "app/outside", "/nowhere/at/all")
        link(repository / "app/loop", "loop")
        link(repository / "app/.#notes.py", "me@host.1234:5678")
        selection = select(repository)
        assert selection.files == ()
        assert left_out(selection) == ["gone", "loop", "outside"]

    def test_a_link_to_a_secret_goes_with_it(self, repository: Path, write: Write) -> None:
        write("app/.env", "app/.aws/config", "app/x.pem")
        link(repository / "app/settings", ".env")
        link(repository / "app/aws", ".aws/config")
        link(repository / "app/chain", "settings")
        link(repository / "app/sub/key", "../x.pem")
        selection = select(repository)
        assert list(by_name(selection)) == ["sub"]
        assert selection.secrets == (".aws/", ".env", "aws", "chain", "settings", "sub/key", "x.pem")

    def test_a_link_to_something_else_that_was_left_out_is_noticed(self, repository: Path, write: Write) -> None:
        write("app/big/data.csv", "app/out/build.json", "app/pkg.egg-info/PKG-INFO")
        write("app/.builderignore", text="big/")
        link(repository / "app/data", "big/data.csv")
        link(repository / "app/result", "out")
        link(repository / "app/info", "pkg.egg-info/PKG-INFO")
        selection = select(repository, out_dir=repository / "app/out")
        assert list(by_name(selection)) == [".builderignore"]
        assert left_out(selection) == ["data", "info", "result"]

    def test_asked_for_by_name_the_file_comes_in_its_place(self, repository: Path, write: Write) -> None:
        write("app/.env", text="A=1").chmod(0o644)
        link(repository / "app/settings", ".env")
        selection = select(repository, "settings")
        assert by_name(selection) == {"settings": ProjectFile("settings", repository / "app/.env", 0o644)}
        assert selection.secrets == (".env",)

    def test_asked_for_the_target_the_link_stays(self, repository: Path, write: Write) -> None:
        write("app/.env", "app/.cache/model/weights", "app/.cache/junk")
        link(repository / "app/settings", ".env")
        link(repository / "app/model", ".cache/model")
        selection = select(repository, ".env", ".cache/model/*")
        assert list(by_name(selection)) == [".cache/model/weights", ".env", "model", "settings"]
        assert (selection.secrets, selection.notices) == ((), ())

    @pytest.mark.parametrize("pattern", ["data", "data/", "/data", "dat*"])
    def test_builderignore_means_a_link_to_a_directory_too(
        self, repository: Path, write: Write, tmp_path: Path, pattern: str
    ) -> None:
        write("app/.builderignore", text=pattern)
        link(repository / "app/data", tmp_path)
        assert list(by_name(select(repository))) == [".builderignore"]


class TestErrors:
    def test_a_link_that_leaves_the_repository(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").touch()
        link(repository / "app/pkg/link", tmp_path / "outside")
        with pytest.raises(ProjectError, match="leaves the git repository") as caught:
            select(repository)
        assert f"`{repository / 'app/pkg/link'}`" in caught.value.what
        assert f"`{tmp_path / 'outside'}`" in caught.value.what
        assert caught.value.remedy

    def test_a_neighbour_whose_name_begins_alike_is_outside(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "repository-2").mkdir()
        (tmp_path / "repository-2/x").touch()
        link(repository / "app/link", tmp_path / "repository-2/x")
        with pytest.raises(ProjectError, match="leaves the git repository"):
            select(repository)

    def test_a_link_in_a_replaced_directory_that_leaves(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").touch()
        link(repository / "shared/link", tmp_path / "outside")
        link(repository / "app/shared", "../shared")
        with pytest.raises(ProjectError, match=os.fspath(repository / "shared/link")):
            select(repository)

    def test_a_link_that_leaves_the_build_directory_where_there_is_no_repository(self, tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        (tmp_path / "outside").touch()
        link(tmp_path / "app/link", "../outside")
        with pytest.raises(ProjectError, match="leaves the build directory, which is in no git repository"):
            select(tmp_path)

    @pytest.mark.parametrize("target", ["..", "../..", "/"])
    def test_a_link_to_a_directory_around_the_build_directory(self, repository: Path, target: str) -> None:
        link(repository / "app/up", target)
        with pytest.raises(ProjectError, match="contains the build directory"):
            select(repository)
