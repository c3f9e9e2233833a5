"""A command that is stopped ends in time, whatever hangs, and says what it leaves."""

from __future__ import annotations

import signal
import subprocess

from tests.support.commands import SECONDS, Ran, Running
from tests.support.tiny_commands import ACTIONS, Commands

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


LATE = """
    say = console.stopped

    def say_and_wait(name):
        say(name)
        (here / "said").write_text("")
        threading.Event().wait(0.5)

    console.stopped = say_and_wait
    try:
        print("ready", flush=True)
        threading.Event().wait()
    except Interrupted:
        while not (here / "said").exists():
            threading.Event().wait(0.01)
        raise
"""


def test_a_command_that_ends_just_when_its_time_is_over_says_only_once_that_it_was_stopped(
    commands: Commands,
) -> None:
    ran = stopped(commands.start(LATE))
    assert ran.code == 143
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


MAKING_MORE = """
    from builder.system import storage
    say, late = console.stopped, threading.Event()

    def say_late(name):
        late.set()
        threading.Event().wait(0.3)
        say(name)

    console.stopped = say_late

    def make_more():
        late.wait()
        with storage.scratch_directory(here):
            threading.Event().wait()

    threading.Thread(target=make_more, daemon=True).start()
    try:
        print("ready", flush=True)
        threading.Event().wait()
    except Interrupted:
        threading.Event().wait()
"""


def test_a_thread_that_works_on_leaves_no_temporary_file(commands: Commands) -> None:
    assert stopped(commands.start(MAKING_MORE)).code == 143
    assert not list(commands.root.glob(".builder-tmp-*"))
