"""docs/coming-from-dagster-cloud-action.md answers each option of the commands that people come from."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import typer

from builder.deploy import main as deploy
from tests.repository.test_action import ACTION
from tests.support.composite_action import read
from tests.support.programs import REPOSITORY

PAGE = REPOSITORY / "docs" / "coming-from-dagster-cloud-action.md"
NAMES = {
    "serverless deploy-python-executable": "deploy",
    "serverless build-python-executable": "build",
    "ci build": "build-locations",
    "ci deploy": "deploy-locations",
    "ci dagster-dbt project manage-state": "manage-state",
}
"""What the table calls commands whose last word would not tell them apart."""


def table(heading: str) -> list[tuple[list[str], set[str], str]]:
    """Each row: options, the commands that have them, and what is said of them."""
    (part,) = re.findall(rf"(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"))
    rows = [row.strip("|").split(" | ") for row in part.splitlines() if row.startswith("| `")]
    return [(re.findall(r"`([\w-]+)`", names), set(of.split(", ")), said) for names, of, said in rows]


def documented(heading: str) -> set[tuple[str, str]]:
    return {(command, name) for names, commands, _ in table(heading) for command in commands for name in names}


def test_each_input_of_the_old_actions_is_answered() -> None:
    declared: set[tuple[str, str]] = set()
    for line in (Path(__file__).parent / "dagster-cloud-action.txt").read_text(encoding="utf-8").splitlines()[1:]:
        action, _, inputs = line.partition(": ")
        declared.update((action, name) for name in inputs.split())
    assert declared <= documented("Inputs of dagster-cloud-action")
    assert len(declared) > 80


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_option_of_dagster_cloud_is_answered() -> None:
    app = importlib.import_module("dagster_cloud_cli.entrypoint").app
    found: set[tuple[str, str]] = set()

    def walk(command: Any, path: str) -> None:  # noqa: ANN401  (typer has a click of its own)
        if hasattr(command, "commands"):
            for name, member in command.commands.items():
                walk(member, f"{path} {name}".strip())
        elif path.startswith("ci ") or path in NAMES:
            short = NAMES.get(path, path.rpartition(" ")[2])
            found.update((short, each.opts[0]) for each in command.params if each.opts[0].startswith("--"))

    walk(typer.main.get_command(app), "")
    rows = documented("Options of `dagster-cloud`")
    assert found <= rows
    # What no command has any more is an answer to nothing.
    assert {name for _, name in rows} == {name for _, name in found}


@pytest.mark.network
@pytest.mark.slow
def test_each_option_of_dg_plus_deploy_is_answered(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "dagster-dg-cli"]
    subprocess.run([*command, "--dest", tmp_path], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("dagster_dg_cli/cli/plus/deploy/commands.py").decode()
    # The first word of each click.option; options that all commands of dg have are declared elsewhere.
    options = set(re.findall(r"click\.[oO]ption\(\s*\[?\s*\"(--[a-z-]+)\"", source))
    options |= {"--yes"} if '"--yes"' in source else set()
    assert options <= {name for _, name in documented("Options of `dg plus deploy`")}


def test_what_is_named_instead_exists() -> None:
    options = {text for each in deploy.params for text in (*each.opts, *each.secondary_opts)}
    for heading in ("Options of `dagster-cloud`", "Options of `dg plus deploy`"):
        for _names, _of, said in table(heading):
            if not said.startswith("not "):
                assert set(re.findall(r"`(--[a-z-]+)`", said)) <= options, said
    inputs = read(ACTION)["inputs"]
    for _names, _of, said in table("Inputs of dagster-cloud-action"):
        named = re.match(r"`([a-z-]+)`", said)
        assert named is None or named[1] in inputs, said
