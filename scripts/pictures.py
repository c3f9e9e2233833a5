"""Make docs/deploy.svg and docs/deploy-failed.svg: deploys in a terminal, recorded.

    python -m scripts.pictures

The quickstart is deployed to the test server on loopback: with an empty cache, and after a change of its code,
both in deploy.svg, whose lines appear one after the other; then after it imports a module that is not among its
dependencies.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from builder.system import process
from tests.support.cloud import CloudServer

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
PICTURES = REPOSITORY / "docs"

COLUMNS = 112

COMMAND = ["builder.deploy", ".", "out", "--upload-pex", "--update-code-location"]
ORGANIZATION = "my-organization.dagster.cloud"
"""Shown instead of the test server's address."""

CHANGE = ("the last three days", "the last days")
"""The replacement in the quickstart's code that changes nothing of what it does."""

FAULT = ("import pandas as pd\n", "import pandas as pd\nfrom slugify import slugify\n")
"""That which makes it fail to load."""

PAUSE_SECONDS = 1.0
"""How long a pause between two lines is at most; what each step took stands behind it."""

READ_SECONDS = 4.0
"""How long the first deploy stays when it is over."""

THEME = TerminalTheme(
    (24, 26, 31),
    (215, 218, 224),
    [*((58, 63, 75), (240, 113, 120), (126, 196, 118), (229, 192, 123)), *[(215, 218, 224)] * 4],
)
"""The first four are black, red, green and yellow; the builder uses no others here."""

# rich's own template downloads a font.
SCREEN = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; }}
.{unique_id}-title {{ font-size: 16px; font-family: "DejaVu Sans", sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""

# What does not move shows the first screen, with all its lines.
MOVING = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
@keyframes appear {{ from {{ visibility: hidden }} }}
@keyframes follow {{ to {{ visibility: visible }} }}
#second {{ visibility: hidden }}
@media (prefers-reduced-motion: no-preference) {{
text {{ animation: appear 1ms step-end backwards }}
#second {{ animation: follow 10ms linear {second}s forwards }}
{delays}
}}
</style>
<g>{screens[0]}</g>
<g id="second">{screens[1]}</g>
</svg>
"""

Line = tuple[float, str]
"""A line of a terminal, and when it was written: seconds since the start."""


def on_terminal(arguments: list[str], directory: Path, env: Mapping[str, str]) -> list[Line]:
    """Run a program on a pseudo-terminal and return the pieces of its output."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    started = time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen = []
    with subprocess.Popen(
        arguments, cwd=directory, env=env, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ):
        os.close(terminal)
        try:
            while chunk := os.read(controller, 1 << 16):
                seen.append((time.monotonic() - started, decoder.decode(chunk)))
        except OSError:
            # On Linux, this is the end of a pseudo-terminal.
            pass
    os.close(controller)
    return seen


def screen(seen: list[Line]) -> list[Line]:
    """The final lines on the screen, with colours, after progress bars were drawn and erased."""
    rows: list[Line] = [(0.0, "")]
    row = 0
    for seconds, text in seen:
        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r\n|\r)", text):
            if part == "\r\n":
                row += 1
                rows += [(seconds, "")] * (row + 1 - len(rows))
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\x1b[2K":
                rows[row] = (seconds, "")
            elif part.endswith("m") or not part.startswith(("\x1b", "\r")):
                rows[row] = (seconds if part else rows[row][0], rows[row][1] + part)
    return rows


def drawn(lines: list[Line], name: str) -> str:
    """A terminal with these lines as SVG; `name` is in the names of all that it has."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True,
            width=COLUMNS,
            file=nowhere,
            force_terminal=True,
            color_system="truecolor",
            highlight=False,
        )
        for _seconds, line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False)
        return console.export_svg(
            title="builder.pex", theme=THEME, code_format=SCREEN, font_aspect_ratio=0.602, unique_id=name
        )


def moving(first: list[Line], second: list[Line]) -> str:
    """Two terminals, one after the other, whose lines appear as they were written, but for long pauses."""
    screens = [drawn(first, "first"), drawn(second, "second")]
    delays, now, begin = [], 0.0, 0.0
    for name, lines in (("first", first), ("second", second)):
        begin = now = now + (READ_SECONDS if now else 0.0)
        for number, (before, (seconds, _line)) in enumerate(pairwise([lines[0], *lines])):
            now += min(seconds - before[0], PAUSE_SECONDS)
            delays.append(f'[clip-path="url(#{name}-line-{number})"] {{ animation-delay: {now:.2f}s }}')
    sizes = [re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', each) for each in screens]
    width, height = (max(float(size[index]) for size in sizes if size) for index in (1, 2))
    return MOVING.format(
        width=width, height=height, second=f"{begin:.2f}", delays="\n".join(delays), screens=screens
    )


def write(picture: Path, svg: str) -> None:
    """Write a picture."""
    picture.write_text("".join(f"{line.rstrip()}\n" for line in svg.splitlines()), encoding="utf-8")
    print(f"{picture.relative_to(REPOSITORY)}: {picture.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Deploy three times, and draw each."""
    with tempfile.TemporaryDirectory() as scratch, CloudServer() as cloud:
        project = Path(scratch, "quickstart")
        shutil.copytree(QUICKSTART, project)
        env = process.clean_environment(
            {
                **cloud.environ(),
                "PYTHONPATH": str(REPOSITORY),
                "TERM": "xterm-256color",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "BUILDER_CACHE_DIR": str(Path(scratch, "cache")),
            }
        )
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "."],
            ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=Start"],
        ):
            subprocess.run(["git", *words], cwd=project, env=env, check=True)

        def deployed(why: str) -> list[Line]:
            lines = screen(on_terminal([sys.executable, "-m", *COMMAND], project, env))
            told = [
                (
                    seconds,
                    line.replace(cloud.url, f"https://{ORGANIZATION}").replace(
                        cloud.url.removeprefix("http://"), ORGANIZATION
                    ),
                )
                for seconds, line in lines
            ]
            return [(0.0, f"$ builder.pex -m {' '.join(COMMAND)}    # {why}"), *told]

        def change(replacement: tuple[str, str]) -> None:
            code = project / "quickstart" / "assets.py"
            code.write_text(code.read_text().replace(*replacement))

        first = deployed("with an empty cache")
        change(CHANGE)
        write(PICTURES / "deploy.svg", moving(first, deployed("one line of code later")))
        change(FAULT)
        write(PICTURES / "deploy-failed.svg", drawn(deployed("one mistake later"), "failed"))


if __name__ == "__main__":
    main()
