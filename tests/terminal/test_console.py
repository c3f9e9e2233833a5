"""What commands say goes to stdout or stderr, as far as it is wanted, and at its time."""

from __future__ import annotations

import re

import pytest

from builder.errors import Notice
from builder.terminal.console import Console
from tests.support.tiny_commands import ACTIONS, Commands

TALK = """
    with console.phase("Build"):
        with console.step("made"):
            console.note("a note")
    beside = f"see `{here / 'b.txt'}`, {here.parent}/c, {here}-d, `{here}`, /etc/d and file://{here}/e"
    console.notices([Notice("take care", Origin(here / "a.txt", 3)), Notice(beside, is_note=True)])
    console.result("the result")
    raise ProjectError("it is wrong")
"""


def test_results_go_to_stdout_and_all_else_to_stderr(commands: Commands) -> None:
    ran = commands.run(TALK)
    assert ran.stdout == "the result\n"
    assert "\x1b" not in ran.stderr
    assert re.sub(r"\d\.\d\d", "0.00", ran.stderr) == (
        "a note\n✓ made  0.00s\nwarning: a.txt:3: take care\n"
        f"see `b.txt`, ../c, ../{commands.root.name}-d, `{commands.root}`, /etc/d and file://{commands.root}/e\n"
        "error: it is wrong\n"
    )


def test_quiet_leaves_warnings_errors_and_results(commands: Commands) -> None:
    ran = commands.run(TALK, "--quiet")
    assert ran.stdout == "the result\n"
    assert ran.stderr == "warning: a.txt:3: take care\nerror: it is wrong\n"
    ran = commands.run(TALK, "--quiet", env=ACTIONS)
    assert "::group" not in ran.stderr


def test_quiet_and_verbose_contradict_each_other(commands: Commands) -> None:
    for options in (["--quiet", "--verbose"], ["--verbose", "--quiet"]):
        ran = commands.run(TALK, *options)
        assert ran.code == 2
        assert "--verbose and --quiet contradict each other" in ran.stderr
        assert not ran.stdout


def test_what_is_said_of_a_later_phase_waits_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.note("start")
    with console.during("Upload"), console.step("uploaded"):
        console.notices([Notice("slow")])
    with console.during("Verify"):
        console.note("loads")
    with console.phase("Verify"):
        console.note("verifying")
        with console.during("Verify"):
            console.note("loads too")
    with console.during("Load"):
        console.note("loaded")
    with console.phase("Upload"):
        pass
    console.release_all()

    said = [re.sub(r"  \d+\.\d+s", "", line) for line in capsys.readouterr().err.splitlines()]
    assert said == ["start", "loads", "verifying", "loads too", "warning: slow", "✓ uploaded", "loaded"]
