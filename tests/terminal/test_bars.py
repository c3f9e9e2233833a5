"""What a long step shows while it lasts: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import re

from tests.support.commands import Running
from tests.support.tiny_commands import CONTROL, Commands, screen

UPLOAD = """
    builder.terminal.console.BAR_DELAY_SECONDS = builder.terminal.console.STATUS_LINE_SECONDS = 0.01
    with console.step("uploaded 2 files"), console.progress("uploading", 63_000_000) as progress:
        progress.update("deps-a.pex", 50_000_000)
        progress.update("deps-a.pex", 35_000_000)
        progress.update("source-b.pex", 5_000_000)
        shown()
"""


def test_a_long_step_without_a_terminal_says_now_and_then_how_far_it_is(commands: Commands) -> None:
    process = commands.start(UPLOAD.replace("shown()", "sys.stdin.readline()"))
    assert process.stderr is not None
    line = process.stderr.readline()
    ran = Running(process).finish()
    assert line == "  … still uploading source-b.pex, 40.0 MB of 63.0 MB\n"
    assert ran.stderr.splitlines()[-1].startswith("✓ uploaded 2 files")


def test_a_step_that_is_not_about_bytes_says_how_long_it_takes(commands: Commands) -> None:
    body = """
        builder.terminal.console.STATUS_LINE_SECONDS = 0.01
        with console.progress("waiting for `a` to load", None):
            sys.stdin.readline()
    """
    process = commands.start(body)
    assert process.stderr is not None
    assert re.fullmatch(r"  … still waiting for `a` to load, \d+ s\n", process.stderr.readline())
    Running(process).finish().succeeded()


def test_a_short_step_says_only_that_it_is_done(commands: Commands) -> None:
    body = UPLOAD.replace("0.01", "100").replace("shown()", "pass")
    ran = commands.run(body).succeeded()
    assert re.fullmatch(r"✓ uploaded 2 files  \d\.\d\ds\n", ran.stderr)
    assert screen(commands.on_terminal(body))[0].startswith("✓ uploaded 2 files")
    assert "uploading" not in commands.on_terminal(body)


# Waits until the terminal has been given the bar, which `console` knows.
SHOWN = """
        while console._bars is None or console._bars._live is None:
            threading.Event().wait(0.01)
        other = threading.Thread(target=lambda: console.note("meanwhile " + "x" * 100))
        other.start()
        other.join()
        console.result("a result")
        with console.progress("fetching [b]a thing[/b]", None) as second:
            second.update("c", 1)
            while len(console._steps) < 2:
                threading.Event().wait(0.01)
"""


def test_a_terminal_shows_bars_that_vanish_and_do_not_mix_with_lines(commands: Commands) -> None:
    body = UPLOAD.replace("        shown()", SHOWN)
    seen = commands.on_terminal(body)
    plain = CONTROL.sub("", seen)
    assert "40.0 MB of 63.0 MB" in plain
    assert "fetching [b]a thing[/b]" in plain
    assert [re.sub(r"\d\.\d\d", "0.00", line) for line in screen(seen)] == [
        "meanwhile " + "x" * 100,
        "a result",
        "✓ uploaded 2 files  0.00s",
    ]
    bars = [line for line in re.split(r"[\r\n]+", CONTROL.sub("", seen.replace("\x1b[2K", "\n"))) if "MB" in line]
    assert all(len(line) <= 80 for line in bars)
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h")


def test_no_color_means_none(commands: Commands) -> None:
    body = UPLOAD.replace("        shown()", SHOWN)
    seen = commands.on_terminal(body, env={"NO_COLOR": "1"})
    assert "40.0 MB of 63.0 MB" in CONTROL.sub("", seen)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", seen)
    assert re.search(r"\x1b\[32m✓", commands.on_terminal(body))


def test_quiet_shows_no_progress(commands: Commands) -> None:
    body = UPLOAD.replace("shown()", "threading.Event().wait(0.1)")
    assert commands.run(body, "--quiet").succeeded().stderr == ""
    assert commands.on_terminal(body, "--quiet") == ""
