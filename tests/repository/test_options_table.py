"""The table of docs/options.md lists what the commands have, no more and no less."""

from __future__ import annotations

import re

import click

from builder.__main__ import COMMANDS as ALL_COMMANDS
from builder.__main__ import command_of
from tests.support.programs import REPOSITORY

COMMANDS = [name for name in ALL_COMMANDS if name != "packages"]
"""All but `packages`, which has a page of its own."""
OF_ALL = {"--verbose", "--quiet"}


def declared() -> set[tuple[str, str]]:
    """Each command with each of its options, but for those that all have."""
    pairs = set()
    for name in COMMANDS:
        command = command_of(name)
        members = command.commands.values() if isinstance(command, click.Group) else [command]
        for member in members:
            options = [parameter for parameter in member.params if isinstance(parameter, click.Option)]
            names = {text for option in options for text in (*option.opts, *option.secondary_opts)}
            pairs |= {(name, text) for text in names - {*OF_ALL, "--help"}}
    return pairs


def documented() -> set[tuple[str, str]]:
    """The same by the table, whose first cell has options, and whose second has commands."""
    text = (REPOSITORY / "docs" / "options.md").read_text(encoding="utf-8")
    _, table = text.split("| option | commands | what it does |\n|---|---|---|\n")
    pairs = set()
    for row in table.partition("\n\n")[0].splitlines():
        _, options, commands, _ = row.split("|", maxsplit=3)
        names = re.findall(r"(?:^|[` /])(--[a-z-]+)", options)
        assert names, row
        pairs |= {(command.strip(), name) for command in commands.split(",") for name in names}
    return pairs


def test_the_table_lists_every_option_of_every_command() -> None:
    table = documented()
    assert {name for command, name in table if command == "all"} == OF_ALL
    assert {pair for pair in table if pair[0] != "all"} == declared()
