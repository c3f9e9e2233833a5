"""What commands say, seen from outside: tiny commands run as programs, on a pipe and on a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.errors import Notice
from builder.system.redaction import redacted
from builder.terminal.console import Console
from tests.support.commands import SECONDS, Ran, Running
from tests.support.programs import REPOSITORY

ACTIONS = {"GITHUB_ACTIONS": "true"}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Commands:
    """A place for tiny commands, each the body of a function that sees `console` and `here`, its directory."""

    root: Path

    def write(self, body: str) -> Path:
        script = self.root / "tiny.py"
        lines = [
            "import sys, threading, time",
            "from pathlib import Path",
            "import click",
            "import builder.terminal.console",
            "from builder.terminal.console import console",
            "from builder.errors import BuilderError, Interrupted, Notice, Origin, ProjectError",
            "from builder.terminal.running import run_command, verbosity_options",
            f"here = Path({str(self.root)!r})",
            "@click.command()",
            "@verbosity_options",
            "def main():",
            textwrap.indent(textwrap.dedent(body), "    "),
            "run_command(main, 'tiny')",
        ]
        script.write_text("\n".join(lines), encoding="utf-8")
        return script

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", **(env or {})}

    def start(self, body: str, *options: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, self.write(body), *options],
            env=self.environment(env),
            cwd=self.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, body: str, *options: str, env: Mapping[str, str] | None = None) -> Ran:
        return Running(self.start(body, *options, env=env)).finish()

    def on_terminal(self, body: str, *options: str, env: Mapping[str, str] | None = None) -> str:
        """All that a terminal of 80 columns gets from a command."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with subprocess.Popen(
            [sys.executable, self.write(body), *options],
            env=self.environment(env),
            cwd=self.root,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        ) as process:
            os.close(terminal)
            seen = b""
            # Linux reports the end of a pseudo-terminal as an error.
            try:
                while chunk := os.read(controller, 1 << 16):
                    seen += chunk
            except OSError:
                pass
            os.close(controller)
            assert process.wait(SECONDS) == 0, seen
        return seen.decode()


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def screen(seen: str) -> list[str]:
    """The lines that are on a terminal at the end: what was taken away again is not."""
    rows, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r\n|\r)", seen):
        if part == "\r\n":
            row += 1
            if row == len(rows):
                rows.append("")
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part != "\r" and not CONTROL.match(part):
            rows[row] += part
    return [line for line in rows if line]


# Results and everything else


TALK = """
    with console.phase("Build"):
        with console.step("made"):
            console.note("a note")
    console.notices([Notice("take care", Origin(here / "a.txt", 3))])
    console.result("the result")
    raise ProjectError("it is wrong")
"""


def test_results_go_to_stdout_and_all_else_to_stderr(commands: Commands) -> None:
    ran = commands.run(TALK)
    assert ran.stdout == "the result\n"
    assert "\x1b" not in ran.stderr
    assert re.sub(r"\d\.\d\d", "0.00", ran.stderr) == (
        f"a note\n✓ made  0.00s\nwarning: {commands.root}/a.txt:3: take care\nerror: it is wrong\n"
    )


def test_quiet_leaves_warnings_errors_and_results(commands: Commands) -> None:
    ran = commands.run(TALK, "--quiet")
    assert ran.stdout == "the result\n"
    assert ran.stderr == f"warning: {commands.root}/a.txt:3: take care\nerror: it is wrong\n"
    ran = commands.run(TALK, "--quiet", env=ACTIONS)
    assert "::group" not in ran.stderr


def test_quiet_and_verbose_contradict_each_other(commands: Commands) -> None:
    for options in (["--quiet", "--verbose"], ["--verbose", "--quiet"]):
        ran = commands.run(TALK, *options)
        assert ran.code == 2
        assert "--verbose and --quiet contradict each other" in ran.stderr
        assert not ran.stdout


# GitHub Actions


def test_phases_are_groups_in_actions_and_never_nested(commands: Commands) -> None:
    body = """
        with console.phase("Build 100%\\nof it"):
            console.note("one")
            with console.phase("Inner"):
                console.note("two")
            console.note("three")
        console.note("four")
    """
    said = "::group::Build 100%25%0Aof it\none\n::endgroup::\n::group::Inner\ntwo\n::endgroup::\nthree\nfour\n"
    assert commands.run(body, env=ACTIONS).succeeded().stderr == said
    assert commands.run(body).succeeded().stderr == "one\ntwo\nthree\nfour\n"


def test_an_error_in_actions_is_outside_of_any_group_and_annotated_at_its_line(commands: Commands) -> None:
    body = """
        with console.phase("Build"):
            where = Origin(here / "a, b" / "py:project.toml", 7)
            console.error(
                ProjectError("100% wrong", where=where, detail="said so", remedy="Mend it"), about="location `a:b`"
            )
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    assert ran.stderr == (
        "::group::Build\n::endgroup::\n"
        "error: location `a:b`: 100% wrong\n  where: a, b/py:project.toml:7\n  | said so\n\nhint: Mend it\n"
        "::error file=a%2C b/py%3Aproject.toml,line=7,title=location `a%3Ab`::100%25 wrong%0Ahint: Mend it\n"
    )
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root / "elsewhere")})
    assert "::error title=location `a%3Ab`::100%25 wrong" in ran.stderr


def test_warnings_in_actions_are_annotations(commands: Commands) -> None:
    body = """
        console.notices([Notice("take care", Origin(here / "a.txt", 3)), Notice("and of that")])
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    assert (
        ran.stderr == f"::warning file=a.txt,line=3::{commands.root}/a.txt:3: take care\n::warning::and of that\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        "::set-env name=PATH::/evil",
        "  \t::error::x",
        "fine\n::add-mask::the",
        "so ##[add-path]/evil",
        # The runner compares as a language does, where these have no width.
        "\u00ad::error::x",
        ":\u200d:error::x",
        "#\u00ad#[error]x",
    ],
)
def test_words_of_others_are_no_workflow_commands(commands: Commands, words: str) -> None:
    body = f"""
        words = {words!r}
        console.note(words)
        console.result(words)
        console.notices([Notice(words, Origin(here / words, 1))])
        with console.step(words):
            pass
        with console.phase(words):
            pass
        console.error(ProjectError(words, detail=words, remedy=words, where=Origin(here / words, 1)), about=words)
        raise click.UsageError(words)
    """
    ran = commands.run(body, env={**ACTIONS, "GITHUB_WORKSPACE": str(commands.root)})
    written = []
    for line in (ran.stdout + ran.stderr).splitlines():
        bare = re.sub("[\u00ad\u200d]", "", line).lstrip()
        if bare.startswith("::"):
            written.append(bare.split("::")[1].split(" ")[0])
        else:
            assert "##[" not in bare
    assert written == ["warning", "group", "endgroup", "error"]
    # Elsewhere they are what they are.
    assert words.replace("\u00ad", "").split("\n")[-1] in commands.run(body).stdout.replace("\u00ad", "")


# Secrets


def test_nothing_secret_is_printed(commands: Commands) -> None:
    secrets = {
        "DAGSTER_CLOUD_API_TOKEN": "user:ddd-token",
        "GITHUB_TOKEN": "ghs_ttt-token",
        "GH_TOKEN": "ghp_hhh-token",
        "CI_JOB_TOKEN": "glcbt-jjj-token",
        "UV_DEFAULT_INDEX": "https://reader:p%40ss-uuu@host/simple",
        "UV_INDEX_OURS_PASSWORD": "vvv-password",
        "PIP_EXTRA_INDEX_URL": "https://a.b/ https://reader:ppp-password@host/simple",
    }
    url = "https://bucket.host/deps.pex?X-Amz-Algorithm=A&X-Amz-Signature=sss&x=1"
    body = f"""
        import os
        signed = ({url!r}, "X-Amz-Credential=kkk", "/x?a=b&Signature=ttt")
        words = " ".join([*os.environ.values(), "p@ss-uuu", *signed])
        console.note(words)
        console.result(words)
        console.table([words], [[words]])
        console.notices([Notice(words)])
        with console.step(words):
            pass
        with console.phase(words):
            pass
        console.set_interrupt_note(words)
        console.stopped("SIGTERM")
        console.error(ProjectError(words, detail=words, remedy=words), about=words)
        raise click.UsageError(words)
    """
    for env in (secrets, {**secrets, **ACTIONS}):
        for options in ([], ["--verbose"]):
            ran = commands.run(body, *options, env=env)
            said = ran.stdout + ran.stderr
            for part in ("-token", "-uuu", "-password", "sss", "kkk", "ttt", "X-Amz-Signature"):
                assert part not in said
            assert "https://bucket.host/deps.pex?***" in said
            assert "https://host/simple" in said


def test_innocent_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # A user's name in a URL is no secret, nor is a word too short to be one.
    monkeypatch.setenv("UV_INDEX_URL", "https://dagster@host/ https://reader:py@host/")
    monkeypatch.setenv("GITHUB_TOKEN", "")
    for text in ("dagster is python", "https://host/a?b=c", "signature = 1", "def f(sig=3, *, design=4)"):
        assert redacted(text) == text


def test_what_azure_and_google_sign_is_a_secret_too() -> None:
    signature = "0123456789abcdefghijklmnopqrstuvwxyz%3D"
    for query in (f"sv=2024&sig={signature}", f"X-Goog-Signature={signature}", f"Expires=1&Signature={signature}"):
        assert redacted(f"see https://host/a.pex?{query}, please") == "see https://host/a.pex?*** please"


# Tables


TABLE = """
    rows = [["sales", "deps-" + "1" * 40, "69.0 MB", "71 distributions"], ["", "source", "951 kB", "7 files"]]
    rows += [["costs", "deps", "1 MB", "2 distributions"]]
    console.table(["location", "file", ">size", "what is in it"], rows)
"""


def test_a_table_is_not_wrapped_where_there_is_no_terminal(commands: Commands) -> None:
    assert commands.run(TABLE, env={"COLUMNS": "20"}).succeeded().stdout.splitlines() == [
        "location  file                                              size  what is in it",
        f"sales     deps-{'1' * 40}  69.0 MB  71 distributions",
        "          source                                          951 kB  7 files",
        "costs     deps                                              1 MB  2 distributions",
    ]


def test_a_table_that_is_too_wide_for_a_terminal_has_a_line_for_each_cell(commands: Commands) -> None:
    seen = commands.on_terminal(TABLE)
    assert seen.count("\r\n\r\n") == 1
    assert screen(seen) == [
        "location       sales",
        f"file           deps-{'1' * 40}",
        "size           69.0 MB",
        "what is in it  71 distributions",
        "file           source",
        "size           951 kB",
        "what is in it  7 files",
        "location       costs",
        "file           deps",
        "size           1 MB",
        "what is in it  2 distributions",
    ]
    narrow = TABLE.replace("40", "30")
    assert screen(commands.on_terminal(narrow))[1] == f"sales     deps-{'1' * 30}  69.0 MB  71 distributions"


# Progress


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


# The end


WAITING = """
    console.set_interrupt_note("location `a` was not updated")
    try:
        (here / "ready").write_text("")
        print("ready", flush=True)
        threading.Event().wait()
    except Interrupted:
        # A second signal must not come between.
        (here / "last").write_text("said")
        raise
"""


def stopped(process: subprocess.Popen[str]) -> Ran:
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    return Running(process).finish()


def test_a_stop_says_what_it_leaves_after_a_last_action_of_the_command(commands: Commands) -> None:
    ran = stopped(commands.start(WAITING, env=ACTIONS))
    assert ran.code == 143
    assert ran.stderr == "error: stopped by SIGTERM; location `a` was not updated\n"
    assert (commands.root / "last").read_text() == "said"
    ran = stopped(commands.start(WAITING.replace('"location `a` was not updated"', "None")))
    assert ran.stderr == "error: stopped by SIGTERM; no incomplete file was left behind\n"


def test_a_last_action_that_hangs_does_not_keep_the_command_from_ending(commands: Commands) -> None:
    ran = stopped(
        commands.start(WAITING.replace('(here / "last").write_text("said")', "threading.Event().wait()"))
    )
    assert ran.code == 143
    assert ran.stderr == "error: stopped by SIGTERM; location `a` was not updated\n"


def test_a_server_that_does_not_end_in_time_ends_with_zero_all_the_same(commands: Commands) -> None:
    body = WAITING.replace('(here / "last").write_text("said")', "threading.Event().wait()")
    serving = "from builder.terminal.running import exit_zero_on_signal; exit_zero_on_signal()"
    ran = stopped(commands.start(f"    {serving}\n{body}"))
    assert ran.code == 0
    assert ran.stderr == "stopped; nothing is left running\n"


def test_a_reader_that_has_stopped_reading_does_not_keep_the_command_from_ending(commands: Commands) -> None:
    body = """
        print("ready", flush=True)
        console.note("x" * 1_000_000)
    """
    process = commands.start(body)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    # It is in the midst of writing.
    assert process.stderr.read(1) == "x"
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 143
    process.communicate()


def test_a_thread_that_hangs_in_a_line_does_not_keep_the_last_word_from_being_said(commands: Commands) -> None:
    body = """
        console.note("ready")
        threading.Thread(target=lambda: console.result("x" * 1_000_000)).start()
        threading.Event().wait()
    """
    process = commands.start(body)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.readline()
    assert process.stdout.read(1) == "x"
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "error: stopped by SIGTERM; no incomplete file was left behind\n"
    assert process.wait(SECONDS) == 143
    process.communicate()


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


def test_a_group_of_github_actions_holds_what_was_said_of_it_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    console = Console()
    with console.during("Verify"):
        console.note("loads")
    with console.phase("Build"):
        console.note("built")
    with console.phase("Verify"):
        pass

    said = capsys.readouterr().err.splitlines()
    assert said == ["::group::Build", "built", "::endgroup::", "::group::Verify", "loads", "::endgroup::"]
