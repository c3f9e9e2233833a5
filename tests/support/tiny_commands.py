"""Tiny commands, run as programs on a pipe and on a pseudo-terminal: what the console says, seen from outside."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
