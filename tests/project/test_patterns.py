"""What the user says: `.builderignore` and include patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from tests.support.selection import PRIVATE_KEY, Write, names, select, texts


class TestBuilderignore:
    def test_it_speaks_gitignore(self, project: Path, write: Write) -> None:
        write("a.csv", "keep.csv", "raw/a.txt", "deep/raw/a.txt", "notes", "deep/notes", "x #y", "p/q/r", "p/q/s")
        write(".builderignore", text="# comment\n\n*.csv\n!keep.csv\nraw/\n/notes\nx\\ \\#y\np/**/r\n")
        assert names(project) == [".builderignore", "deep/notes", "keep.csv", "p/q/s"]

    def test_what_lies_in_a_directory_can_be_left_out_but_for_some(self, project: Path, write: Write) -> None:
        write("data/big.csv", "data/keep.csv", "data/deep/x", "data/kept/y")
        write(".builderignore", text="data/**\n!data/keep.csv\n!data/kept\n!data/kept/**")
        assert names(project) == [".builderignore", "data/keep.csv", "data/kept/y"]

    def test_the_last_pattern_that_matches_decides(self, project: Path, write: Write) -> None:
        write("a/x", "b/x", "kept/x", "kept/y/z")
        write(".builderignore", text="*\n!kept/\n!kept/y/\n!z\n!.builderignore\n!a\na")
        assert names(project) == [".builderignore", "kept/y/z"]

    def test_one_in_a_subdirectory_speaks_for_it_and_overrules_the_outer_ones(
        self, project: Path, write: Write
    ) -> None:
        write("a.csv", "sub/a.csv", "sub/only.txt", "sub/deep/only.txt", "only.txt")
        write(".builderignore", text="*.csv")
        write("sub/.builderignore", text="!a.csv\n/only.txt")
        assert names(project) == [
            ".builderignore",
            "only.txt",
            "sub/.builderignore",
            "sub/a.csv",
            "sub/deep/only.txt",
        ]

    @pytest.mark.parametrize("name", [".env", "__pycache__/a.pyc", "venv/pyvenv.cfg", ".git/config"])
    def test_it_takes_nothing_in_that_it_did_not_leave_out(self, project: Path, write: Write, name: str) -> None:
        write(name)
        write(".builderignore", text=f"!{name}\n!{name.partition('/')[0]}\n")
        assert names(project) == [".builderignore"]

    def test_a_file_of_another_editor_or_system_is_read(self, project: Path) -> None:
        (project / ".builderignore").write_bytes("\ufeffa.txt\r\nb.txt\r\n".encode())
        for name in ("a.txt", "b.txt", "c.txt"):
            (project / name).touch()
        assert names(project) == [".builderignore", "c.txt"]

    def test_a_pattern_that_is_none_is_an_error_with_its_line(self, project: Path, write: Write) -> None:
        path = write(".builderignore", text="*.csv\n!\n")
        with pytest.raises(ProjectError, match="gitignore syntax") as caught:
            select(project)
        assert str(caught.value.where) == f"{path}:2"

    def test_text_that_is_not_utf8_is_an_error(self, project: Path) -> None:
        (project / ".builderignore").write_bytes(b"caf\xe9\n")
        with pytest.raises(ProjectError, match="UTF-8"):
            select(project)


class TestInclude:
    @pytest.mark.parametrize(
        "name, pattern",
        [
            (".env", ".env"),
            ("config/server.pem", "config/server.pem"),
            ("config/server.pem", "./config/server.pem"),
            ("config/server.pem", "config/*.pem"),
            ("config/server.pem", "*.pem"),
            ("config/server.pem", "**/server.pem"),
            ("deploy.key", "*.key"),
            (".aws/config", ".aws/"),
            (".aws/config", ".aws"),
            (".aws/config", ".aws/config"),
            ("node_modules/a/index.js", "node_modules"),
            ("ui/node_modules/a/b.js", "ui/node_modules/**/*.js"),
            (".venv/lib/x.py", ".venv/*/x.py"),
            ("out/model.bin", "out/model.bin"),
            ("ignored/data.csv", "ignored/data.csv"),
            ("ignored/deep/data.csv", "/ignored/deep/*.csv"),
            ("a.ignored", "*.ignored"),
        ],
    )
    def test_it_beats_every_exclusion(self, project: Path, write: Write, name: str, pattern: str) -> None:
        write(".builderignore", text="ignored/\n*.ignored")
        write(".venv/pyvenv.cfg")
        write(name, text=PRIVATE_KEY)
        selection = select(project, pattern, out_dir=project / "out")
        assert name in [file.name for file in selection.files]
        assert name not in selection.secrets
        assert selection.notices == ()

    def test_only_what_it_names_comes_from_a_directory_that_was_left_out(
        self, project: Path, write: Write
    ) -> None:
        write(
            "setup.py",
            "dist/p-1.whl",
            "dist/p-2.whl",
            "node_modules/a/b",
            "node_modules/c/d/e",
            "node_modules/c/f",
        )
        assert names(project, "dist/p-2.whl", "node_modules/c/**/e") == [
            "dist/p-2.whl",
            "node_modules/c/d/e",
            "setup.py",
        ]

    @pytest.mark.parametrize("pattern", ["*.pem", "*/x.pem", "**/x.pem", "*/**/x.pem"])
    def test_a_wildcard_does_not_reach_into_what_was_left_out(
        self, project: Path, write: Write, pattern: str
    ) -> None:
        write("certificates/x.pem", ".venv/pyvenv.cfg", ".venv/x.pem", "node_modules/x.pem")
        assert names(project, pattern) == ["certificates/x.pem"]

    @pytest.mark.parametrize("pattern", ["config", "config/", "*", "config/*", "config/**", "/config"])
    def test_a_secret_has_to_be_meant(self, project: Path, write: Write, pattern: str) -> None:
        write("config/settings.yaml", "config/server.pem")
        write("config/renamed", text=PRIVATE_KEY)
        selection = select(project, pattern)
        assert [file.name for file in selection.files] == ["config/settings.yaml"]
        assert selection.secrets == ("config/renamed", "config/server.pem")

    def test_a_later_negation_takes_back(self, project: Path, write: Write) -> None:
        write("setup.py", "dist/a.whl", "dist/b.whl", "a.pyc", "b.pyc")
        assert names(project, "dist/", "*.pyc", "!b.*") == ["a.pyc", "dist/a.whl", "setup.py"]

    def test_an_empty_directory_can_be_taken_in(self, project: Path) -> None:
        (project / ".cache").mkdir()
        assert names(project, ".cache/") == [".cache"]

    def test_one_that_matches_nothing_is_noticed(self, project: Path, write: Write) -> None:
        write("data.csv", "target/manifest.json", "empty/.cache/x")
        selection = select(project, "*.csv", "data.csv", "target/", "target/mainfest.json", "!x", "empty/")
        (text,) = texts(selection)
        assert text.startswith(f"include pattern `target/mainfest.json` matches nothing in `{project}`; ")

    @pytest.mark.parametrize("pattern", ["../*.pem", "../a/../b", "a/../../b", "", "  ", "# comment", "!"])
    def test_one_that_cannot_be_right_is_an_error(self, project: Path, pattern: str) -> None:
        with pytest.raises(ProjectError, match="pattern"):
            select(project, pattern)
