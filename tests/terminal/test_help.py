"""What each command says of itself: examples first, options in groups, every default shown, one screen."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click
import pytest

from builder.__main__ import COMMANDS as OVERVIEW
from builder.__main__ import command_of
from builder.packages.images.building import DEFAULT_BASE
from builder.resolution.target import DEFAULT_PYTHON_VERSION, PYTHON_VERSIONS
from builder.system import process
from builder.terminal.command_line import OUTPUT, BuilderCommand, GroupedOption
from tests.support.programs import REPOSITORY

LONGEST = {"builder.deploy": 65}
NOTHING = (None, (), click.Option(["--x"]).default)
"""What the parser has for an argument that is not there."""

SLOW_TO_IMPORT = {"dagster", "dagster_cloud_cli", "pex", "httpx", "rich", "yaml", "packaging", "platformdirs"}


@dataclass(frozen=True, slots=True)
class Documented:
    """A command with a help of its own: a module, or a subcommand of one."""

    name: str
    command: BuilderCommand

    def help(self, columns: int = 80) -> str:
        context = click.Context(
            self.command, info_name=f"builder.pex -m {self.name}", **self.command.context_settings
        )
        with mock.patch.dict(os.environ, COLUMNS=str(columns)):
            return self.command.get_help(context)

    @property
    def options(self) -> list[click.Option]:
        context = click.Context(self.command)
        return [each for each in self.command.get_params(context) if isinstance(each, click.Option)]

    def text_of(self, option: click.Option) -> str:
        """What help says of an option, on one line."""
        pattern = rf"^  {re.escape(option.opts[0])}(?=[ ,\n]).*\n(?:^ {{6,}}.*\n)*"
        (found,) = re.findall(pattern, self.help() + "\n", re.MULTILINE)
        return " ".join(found.split())


def every_command() -> Iterator[Documented]:
    for name in OVERVIEW:
        command = command_of(name)
        yield Documented(f"builder.{name}", command)
        if isinstance(command, click.Group):
            for name_inside, inside in command.commands.items():
                assert isinstance(inside, BuilderCommand), name_inside
                yield Documented(f"builder.{name} {name_inside}", inside)


COMMANDS = list(every_command())
each_command = pytest.mark.parametrize("documented", COMMANDS, ids=lambda documented: documented.name)


@each_command
def test_examples_come_before_anything_long(documented: Documented) -> None:
    lines = documented.help().splitlines()
    examples = lines.index("Examples:")
    assert examples <= 5
    assert lines[examples + 1].startswith(f"  builder.pex -m {documented.name}")
    assert examples < lines.index(f"{OUTPUT}:")


@each_command
def test_examples_are_command_lines_that_the_command_takes(documented: Documented) -> None:
    for example in documented.command.examples:
        words = shlex.split(example)
        named = documented.name.split()
        assert words[: len(named)] == named
        command: click.Command = documented.command
        words = words[len(named) :]
        if isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        context = click.Context(command)
        given, _rest, _order = command.make_parser(context).parse_args(words)
        missing = [
            each.name
            for each in command.params
            if each.required and (each.name not in given or given[each.name] in NOTHING)
        ]
        assert not missing, example


@each_command
def test_what_does_the_work_takes_what_the_command_reads(documented: Documented) -> None:
    work = documented.command.work
    assert work is not None
    read = [parameter.name for parameter in documented.command.params if parameter.expose_value and parameter.name]
    inspect.signature(work).bind(**dict.fromkeys(read))


@each_command
def test_every_option_stands_in_a_group_and_has_a_text(documented: Documented) -> None:
    headings = re.findall(r"^(\w[^:\n]*):$", documented.help(), re.MULTILINE)
    assert headings[-1] == OUTPUT
    assert "Options" not in headings
    for option in documented.options:
        if "--help" not in option.opts:
            assert isinstance(option, GroupedOption), option.name
            assert option.group in headings
            assert (option.help or "").endswith("."), option.name


@each_command
def test_every_default_is_shown_in_one_form(documented: Documented) -> None:
    for option in documented.options:
        text = documented.text_of(option)
        assert len(re.findall(r"\bdefault: ", text)) <= 1, text
        if option.is_flag and option.secondary_opts:
            shown = option.opts if option.default is True else option.secondary_opts
            assert f"[default: {shown[0].lstrip('-')}]" in text
        elif not option.is_flag and isinstance(option.default, (str, int, float, Path, list)):
            default = option.default[0] if isinstance(option.default, list) else option.default
            assert f"[default: {default}" in text
        assert ("[required]" in text) == option.required
        assert ("repeatable]" in text) == option.multiple


@each_command
def test_it_fits_on_a_screen(documented: Documented) -> None:
    for columns in (80, 100, 200):
        lines = documented.help(columns).splitlines()
        assert max(map(len, lines)) <= min(columns, 100)
        assert len(lines) <= LONGEST.get(documented.name, 40)
        assert not [line for line in lines if line != line.rstrip()]


def test_defaults_in_words_are_those_that_hold() -> None:
    said = {
        (documented.name, option.name): option.default_text
        for documented in COMMANDS
        for option in documented.options
        if isinstance(option, GroupedOption) and option.default_text
    }
    assert said["builder.packages image", "base"] == DEFAULT_BASE
    for name in ("deploy", "deps", "source"):
        assert said[f"builder.{name}", "python_version"] == f"what the project says, or {DEFAULT_PYTHON_VERSION}"
    deploy = next(documented for documented in COMMANDS if documented.name == "builder.deploy")
    (python,) = (option for option in deploy.options if option.name == "python_version")
    assert f"{PYTHON_VERSIONS[0]} to {PYTHON_VERSIONS[-1]}." in (python.help or "")


def test_the_overview_names_every_command_in_its_own_words_and_at_once() -> None:
    script = (
        "import sys; sys.argv = ['builder']\n"
        "from builder.__main__ import main\n"
        "main(standalone_mode=False)\n"
        f"print(sorted({SLOW_TO_IMPORT!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    environment = process.clean_environment({"PYTHONPATH": str(REPOSITORY), "COLUMNS": "100"})
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
    listed = dict(re.findall(r"^  (builder\.\w+)  +(.+)$", ran.stdout, re.MULTILINE))
    commands = {each.name: each.command.short_help for each in COMMANDS if " " not in each.name}
    assert listed == commands
    assert ran.stderr == "[]\n"
