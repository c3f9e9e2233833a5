"""What users read: command lines are accepted, links lead somewhere, figures were measured."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import typer

from builder.__main__ import COMMANDS, command_of, main
from tests.support.programs import REPOSITORY

WORKFLOWS = REPOSITORY / ".github" / "workflows" / "README.md"
DOCUMENTS = [
    *sorted(REPOSITORY.glob("*.md")),
    *sorted(
        path for name in ("docs", "examples", "bench", "generated") for path in (REPOSITORY / name).rglob("*.md")
    ),
    WORKFLOWS,
]
README, FIGURES = REPOSITORY / "README.md", REPOSITORY / "bench" / "README.md"
LONGEST = 200
"""Lines that README may have."""

PROGRAMS = {"dagster": "dagster._cli:cli", "dagster_dg_cli.cli": "dagster_dg_cli.cli:cli"}
CLOUD = "dagster_cloud_cli.entrypoint"

_FENCE = re.compile(r"^( *)```[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_OTHER = re.compile(r"^( *)```(?!sh\n)\w+\n.*?^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_START = re.compile(r"(?:^|[\s\"/])(?:builder\.pex -m|(?P<packages>scripts/packages\.sh)) ")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*")


class CommandLine(NamedTuple):
    """A command line in a document, from the module on; `whole` unless it is but named in a sentence."""

    document: Path
    text: str
    whole: bool


def command_lines(document: Path) -> Iterator[CommandLine]:
    text = document.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        for line in fence[2].replace("\\\n", " ").splitlines():
            if found := _started(line):
                yield CommandLine(document, found, whole=True)
    for code in _CODE.findall(_FENCE.sub("", text)):
        words = " ".join(code.split())
        named = words.startswith("builder.") and words.partition(" ")[0].removeprefix("builder.") in COMMANDS
        if found := words if named else _started(words):
            yield CommandLine(document, found, whole=False)


def _started(text: str) -> str | None:
    """The command line that begins in a line of text, if one does."""
    start = _START.search(text)
    return start and ("builder.packages " if start["packages"] else "") + text[start.end() :]


COMMAND_LINES = [line for document in DOCUMENTS for line in command_lines(document)]


def words_of(line: str) -> list[str]:
    """The words of a command line, as far as its first `;`, `|`, `&` or redirection."""
    split = shlex.shlex(line, posix=True, punctuation_chars=True)
    split.whitespace_split = True
    words: list[str] = []
    for word in split:
        if set(word) <= set("();<>|&"):
            break
        words.append(word)
    return words


def parse(command: click.Command, words: Sequence[str], *, whole: bool) -> None:
    """Have click read a command line as it does when a user types it, without doing anything."""
    if isinstance(command, click.Group):
        if words and words[0] in command.commands:
            parse(command.commands[words[0]], words[1:], whole=whole)
        else:
            assert not words or not whole, f"{command.name} has no `{words[0]}`"
        return
    try:
        command.make_context("builder", list(words))
    except click.exceptions.Exit:
        # Help was asked for.
        pass
    except click.MissingParameter:
        if whole:
            raise
    except click.BadParameter as error:
        # A placeholder is no number, and none of the choices.
        if not any(_PLACEHOLDER.fullmatch(word.rpartition("=")[2]) for word in words):
            raise AssertionError(error.format_message()) from error


def follow(program: Any, words: Sequence[str]) -> None:  # noqa: ANN401  (typer has a click of its own)
    """Find the command of another command line, and its options there."""
    words = list(words)
    while words and words[0] in getattr(program, "commands", {}):
        program = program.commands[words.pop(0)]
    options = {name for each in program.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options
    # Only a program without commands of its own takes other words.
    assert not hasattr(program, "commands") or all(
        word.startswith("-") or _PLACEHOLDER.fullmatch(word) for word in words
    )


def test_there_are_command_lines() -> None:
    assert len(COMMAND_LINES) > 60
    modules = {words_of(line.text)[0] for line in COMMAND_LINES}
    assert modules >= {CLOUD, *PROGRAMS, *(f"builder.{name}" for name in COMMANDS)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("line", COMMAND_LINES, ids=lambda line: f"{line.document.name}: {line.text}")
def test_a_command_line_is_accepted(line: CommandLine) -> None:
    module, *words = words_of(line.text)
    if module == CLOUD:
        follow(typer.main.get_command(importlib.import_module(CLOUD).app), words)
    elif module in PROGRAMS:
        name, _, attribute = PROGRAMS[module].partition(":")
        follow(getattr(importlib.import_module(name), attribute), words)
    elif not _PLACEHOLDER.search(module):
        command = main if module == "builder" else command_of(module.removeprefix("builder."))
        parse(command, words, whole=line.whole)


def typed() -> set[str]:
    """What README, that of the workflows and docs/ tell to type.

    That is in sentences, and in lines of blocks without a language or of `sh`.
    """
    pages = {README, WORKFLOWS, *(path for path in DOCUMENTS if path.is_relative_to(REPOSITORY / "docs"))}
    found = {" ".join(words_of(_started(line) or line)) for page in pages for line in _block_lines(page)}
    named = [words_of(line.text) for line in COMMAND_LINES if line.document in pages and not line.whole]
    found |= {" ".join(words) for words in named if len(words) > 1}
    return {line for line in found if line and not line.startswith("export ")}


def _block_lines(document: Path) -> list[str]:
    blocks = re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", _without_others(document), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def _without_others(document: Path) -> str:
    return _OTHER.sub("", document.read_text(encoding="utf-8"))


def test_each_command_is_run_by_a_test() -> None:
    lists = tomllib.loads((Path(__file__).parent / "commands.toml").read_text(encoding="utf-8"))
    assert typed() == set(lists["run"]) | set(lists["others"])
    assert not [line for line in lists["others"] if line.startswith(("builder.", "./build"))]
    tests = REPOSITORY / "tests"
    support = "".join(path.read_text(encoding="utf-8") for path in (tests / "support").glob("*.py"))
    for line, name in lists["run"].items():
        path, _, test = name.partition("::")
        text = (tests / path).read_text(encoding="utf-8")
        assert f"\ndef {test}(" in text, name
        # That file, or what helps it, types the command of the builder and each option.
        module, *words = line.split()
        command = module.removeprefix("builder.")
        assert command in {module, "COMMAND"} or re.search(rf"\b{command}\b", text), line
        for word in words:
            option = word.partition("=")[0]
            assert not option.startswith("-") or re.search(rf"{option}(?![\w-])", text + support), line


def anchors(path: Path) -> set[str]:
    """What GitHub calls the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", _FENCE.sub("", document.read_text(encoding="utf-8")))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_each_page_is_in_the_list() -> None:
    pages = REPOSITORY / "docs"
    listed = _LINK.findall((pages / "README.md").read_text(encoding="utf-8"))
    assert {path.name for path in pages.glob("*.md")} - {"README.md"} == {name for name in listed if "." in name}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_figures_are_those_that_were_measured() -> None:
    rows = {name: cells for name, *cells in _cells(FIGURES)}
    compared = [row for row in _cells(README) if any(re.match(r"[\d.]+ s\b", cell) for cell in row)]
    assert len(compared) > 3
    for name, *cells in compared:
        assert cells == rows[name.partition(":")[0]][: len(cells)], name


def _cells(document: Path) -> list[list[str]]:
    lines = document.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
