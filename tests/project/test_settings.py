"""`[tool.builder]`: what it may say, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import ProjectError
from builder.project.settings import Settings, read_settings


def read(directory: Path, text: str) -> Settings:
    (directory / "pyproject.toml").write_text(text, encoding="utf-8")
    return read_settings(directory)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings((), respect_gitignore=False)


@pytest.mark.parametrize("text", ["", "[project]\nname = 'p'", "[tool.other]\ninclude = 1", "[tool.builder]"])
def test_without_the_table_the_defaults_hold(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Settings()


def test_both_settings_are_read(tmp_path: Path) -> None:
    text = '[tool.builder]\ninclude = ["größe/*.pem", ".env"]\nrespect-gitignore = true\n'
    assert read(tmp_path, text) == Settings(("größe/*.pem", ".env"), respect_gitignore=True)


@pytest.mark.parametrize(
    "text, line, what",
    [
        ("[tool]\nbuilder = 1", 2, "`tool.builder` is not a table"),
        ("[tool.builder]\n\ninclude = '*.pem'", 3, "`tool.builder.include` is not a list"),
        ("[tool.builder]\ninclude = ['a', 1]", 2, "`tool.builder.include[1]` is not a string"),
        ("[tool.builder]\ninclude = ['a/../b']", 2, "include pattern `a/../b` leaves the build directory"),
        ("[tool.builder]\ninclude = ['']", 2, "include pattern '' is empty"),
        (
            "[tool.a]\nrespect-gitignore = 1\n[tool.builder]\nrespect-gitignore = 1",
            4,
            "`tool.builder.respect-gitignore` is neither true nor false",
        ),
        ("[tool.builder]\n# x\nrespect_gitignore = true", 3, "`tool.builder.respect_gitignore` is not a setting"),
        ("[tool]\nbuilder.exclude = []", 2, "`tool.builder.exclude` is not a setting"),
        ("[project]\n[tool.builder.exclude]\nx = 1", 2, "`tool.builder.exclude` is not a setting"),
        ("tool.builder.exclude = []", 1, "`tool.builder.exclude` is not a setting"),
        ("[tool]\nbuilder = {x = 1}", 2, "`tool.builder.x` is not a setting"),
        ("[project]\nname = 'p'\nversion == 1", 3, "not valid TOML"),
    ],
)
def test_what_cannot_be_right_is_told_with_its_line(
    tmp_path: Path, text: str, line: int | None, what: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        read(tmp_path, text)
    assert what in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.path == tmp_path / "pyproject.toml"
    assert caught.value.where.line == line
    assert caught.value.remedy


@pytest.mark.parametrize("key, guess", [("respect_gitignore", "respect-gitignore"), ("includes", "include")])
def test_a_misspelt_key_is_answered_with_the_right_one(tmp_path: Path, key: str, guess: str) -> None:
    with pytest.raises(ProjectError) as caught:
        read(tmp_path, f"[tool.builder]\n{key} = true")
    assert (
        caught.value.remedy
        == f"Write `{guess}`; the known keys are `extras`, `groups`, `include`, `respect-gitignore`"
    )


def test_another_key_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as caught:
        read(tmp_path, "[tool.builder]\ncolour = 'red'")
    assert (
        caught.value.remedy == "Remove it; the known keys are `extras`, `groups`, `include`, `respect-gitignore`"
    )


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes(b"# caf\xe9")
    with pytest.raises(ProjectError, match="cannot be read"):
        read_settings(tmp_path)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ProjectError, match="cannot be read"):
        read_settings(tmp_path)
