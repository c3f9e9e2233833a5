"""The rule about what is packed, on real directories."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.errors import ProjectError, StorageError
from builder.project.files import content_key, copy_tree
from tests.support.selection import Write, names, select, texts


@pytest.fixture
def as_user() -> Iterator[Callable[[], None]]:
    """Give up root's rights until the test is over; directories of the test must be readable by others."""
    yield lambda: os.setresuid(65534, 65534, 0) if os.geteuid() == 0 else None
    if os.getresuid()[2] == 0:
        os.setresuid(0, 0, 0)


class TestEverythingElse:
    def test_code_data_hidden_files_and_odd_names_belong(self, project: Path, write: Write) -> None:
        expected = [
            ".github/workflows/deploy.yml",
            ".gitignore",
            "a file with spaces.csv",
            "data/größe/日本.csv",
            "dbt/target/manifest.json",
            "line\nbreak",
            "package/__init__.py",
            "setup.py",
        ]
        write(*expected)
        assert names(project) == expected

    def test_names_are_sorted_by_code_point(self, project: Path, write: Write) -> None:
        write("b", "a/z", "a-b", "B", "ä", "a.b")
        assert names(project) == ["B", "a-b", "a.b", "a/z", "b", "ä"]

    def test_a_file_says_where_its_bytes_are_and_its_mode(self, project: Path, write: Write) -> None:
        write("run.sh").chmod(0o700)
        write("plain").chmod(0o664)
        write("others-may-run").chmod(0o605)
        found = {file.name: (file.path, file.mode, file.link) for file in select(project).files}
        assert found == {
            "run.sh": (project / "run.sh", 0o755, None),
            "plain": (project / "plain", 0o644, None),
            "others-may-run": (project / "others-may-run", 0o644, None),
        }

    def test_empty_directories_stay_and_so_do_emptied_ones(self, project: Path, write: Write) -> None:
        (project / "empty/inner").mkdir(parents=True)
        write("logs/a.log", "full/file")
        (project / "full/none").mkdir()
        write(".builderignore", text="*.log")
        found = {file.name: (file.path, file.mode) for file in select(project).files}
        assert found["empty/inner"] == (None, 0o755)
        assert found["logs"] == (None, 0o755)
        assert found["full/none"] == (None, 0o755)
        assert set(found) == {".builderignore", "empty/inner", "logs", "full/file", "full/none"}

    def test_a_directory_that_is_not_there_is_an_error(self, project: Path) -> None:
        with pytest.raises(ProjectError, match="not a directory"):
            select(project / "missing")


class TestSpecialFiles:
    def test_sockets_and_pipes_are_left_out_with_a_notice(self, project: Path, write: Write) -> None:
        write("keep")
        os.mkfifo(project / "pipe")
        here = Path.cwd()
        os.chdir(project)  # the path of a socket may have 108 bytes only
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind("socket")
        finally:
            os.chdir(here)
        selection = select(project)
        assert [file.name for file in selection.files] == ["keep"]
        assert [text.split("`")[1] for text in texts(selection)] == ["pipe", "socket"]

    @pytest.mark.parametrize("name", [b"caf\xe9.txt", b"caf\xe9/x.txt", b"caf\xe9.pem"])
    def test_a_name_that_is_not_utf8_is_an_error(self, project: Path, name: bytes) -> None:
        path = os.fsencode(project) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with open(path, "wb") as stream:  # noqa: PTH123
            stream.write(b"x")
        with pytest.raises(ProjectError, match=r"caf\\xe9.* is not valid UTF-8"):
            select(project)

    def test_a_name_that_is_not_utf8_can_be_left_out(self, project: Path, write: Write) -> None:
        with open(os.fsencode(project) + b"/caf\xe9.txt", "wb") as stream:  # noqa: PTH123
            stream.write(b"x")
        write(".builderignore", text="caf*")
        assert names(project) == [".builderignore"]

    @pytest.mark.parametrize("locked", ["locked.csv", "directory"])
    def test_what_cannot_be_read_is_an_error(self, locked: str, as_user: Callable[[], None]) -> None:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            (root / "directory").mkdir()
            (root / "locked.csv").write_text("x")
            root.chmod(0o755)
            (root / locked).chmod(0)
            as_user()
            with pytest.raises(ProjectError, match=f"could not read `.*{locked}`: Permission denied"):
                select(root)
            if os.getresuid()[2] == 0:
                os.setresuid(0, 0, 0)
            (root / locked).chmod(0o700)


class TestContentKey:
    @pytest.fixture
    def tree(self, project: Path, write: Write) -> Path:
        write("a", "b/c", text="content")
        (project / "empty").mkdir()
        (project / "link").symlink_to("a")
        return project

    def test_it_does_not_depend_on_place_time_or_owner_rights(self, tree: Path, tmp_path: Path) -> None:
        key = content_key(select(tree))
        other = tmp_path / "other"
        shutil.copytree(tree, other, symlinks=True)
        os.utime(other / "a", (1, 1))
        (other / "a").chmod(0o600)
        assert content_key(select(other)) == key

    @pytest.mark.parametrize(
        "change",
        [
            lambda tree: (tree / "a").write_text("Content"),
            lambda tree: (tree / "a").rename(tree / "b/a"),
            lambda tree: (tree / "b/c").chmod(0o755),
            lambda tree: (tree / "empty").rmdir(),
            lambda tree: ((tree / "link").unlink(), (tree / "link").symlink_to("b/c")),
            lambda tree: ((tree / "link").unlink(), (tree / "link").write_text("a")),
            lambda tree: ((tree / "empty").rmdir(), (tree / "empty").touch()),
        ],
    )
    def test_it_changes_with_names_modes_links_and_contents(
        self, tree: Path, change: Callable[[Path], object]
    ) -> None:
        before = content_key(select(tree))
        change(tree)
        assert content_key(select(tree)) != before

    def test_names_and_targets_do_not_run_together(self, tmp_path: Path) -> None:
        keys = set()
        for directory, name, target in (("one", "a", "644x"), ("two", "a644", "x")):
            (tmp_path / directory).mkdir()
            (tmp_path / directory / "644x").touch()
            (tmp_path / directory / "x").touch()
            (tmp_path / directory / name).symlink_to(target)
            keys.add(content_key(select(tmp_path / directory)))
        assert len(keys) == 2

    def test_a_file_that_has_gone_is_an_error(self, tree: Path) -> None:
        selection = select(tree)
        (tree / "a").unlink()
        with pytest.raises(ProjectError, match="could not read"):
            content_key(selection)


class TestCopyTree:
    def test_the_copy_is_the_selection(self, project: Path, write: Write, tmp_path: Path) -> None:
        write("bin/run").chmod(0o700)
        write("größe/a b", ".env", "__pycache__/a.pyc")
        (project / "empty").mkdir()
        (project / "bin/link").symlink_to("../größe/a b")
        selection = select(project)
        previous = os.umask(0o077)
        try:
            copy_tree(selection, tmp_path / "copy")
        finally:
            os.umask(previous)
        copied = select(tmp_path / "copy")
        assert [(file.name, file.mode, file.link) for file in copied.files] == [
            ("bin/link", 0o644, "../größe/a b"),
            ("bin/run", 0o755, None),
            ("empty", 0o755, None),
            ("größe/a b", 0o644, None),
        ]
        assert content_key(copied) == content_key(selection)
        assert stat.S_IMODE((tmp_path / "copy/bin/run").stat().st_mode) == 0o755

    def test_writing_to_the_copy_leaves_the_project_alone(
        self, project: Path, write: Write, tmp_path: Path
    ) -> None:
        original = write("a")
        copy_tree(select(project), tmp_path / "copy")
        with (tmp_path / "copy/a").open("a") as stream:
            stream.write("more")
        assert original.read_text() == "x"

    def test_a_file_that_has_gone_is_the_projects_fault(self, project: Path, write: Write, tmp_path: Path) -> None:
        path = write("a")
        selection = select(project)
        path.unlink()
        with pytest.raises(ProjectError, match="could not read"):
            copy_tree(selection, tmp_path / "copy")

    def test_a_destination_that_cannot_be_written_is_not(
        self, project: Path, write: Write, tmp_path: Path
    ) -> None:
        write("a/b")
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy/a").write_text("in the way")
        with pytest.raises(StorageError):
            copy_tree(select(project), tmp_path / "copy")
