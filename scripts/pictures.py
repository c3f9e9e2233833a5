"""Make docs/deploy-good.png and docs/deploy-failed.png: screenshots of two deploys in a terminal.

    python -m scripts.pictures

The quickstart is deployed to the test server on loopback; then again, after its code was changed to import a
module that is not among its dependencies. Needs Chromium (Debian's package), which renders rich's SVG.
"""

from __future__ import annotations

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
from collections.abc import Mapping
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
SCALE = 0.8
"""Scale factor of the picture; rich's SVG has letters of 20 pixels."""

COMMAND = ["builder.deploy", ".", "out", "--upload-pex", "--update-code-location"]
ORGANIZATION = "my-organization.dagster.cloud"
"""Shown instead of the test server's address."""

CHANGE = ("import pandas as pd\n", "import pandas as pd\nfrom slugify import slugify\n")
"""The replacement in the quickstart's code that makes it fail to load."""

THEME = TerminalTheme(
    (24, 26, 31),
    (215, 218, 224),
    [*((58, 63, 75), (240, 113, 120), (126, 196, 118), (229, 192, 123)), *[(215, 218, 224)] * 4],
)
"""The first four are black, red, green and yellow; the builder uses no others here."""

# rich's own template downloads a font.
SVG = """<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", monospace; font-size: {char_height}px; }}
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


def on_terminal(arguments: list[str], directory: Path, env: Mapping[str, str]) -> str:
    """Run a program on a pseudo-terminal and return its output."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    with subprocess.Popen(
        arguments, cwd=directory, env=env, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ):
        os.close(terminal)
        seen = b""
        try:
            while chunk := os.read(controller, 1 << 16):
                seen += chunk
        except OSError:
            # On Linux, this is the end of a pseudo-terminal.
            pass
    os.close(controller)
    return seen.decode()


def screen(seen: str) -> list[str]:
    """The final lines on the screen, with colours, after progress bars were drawn and erased."""
    rows, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|\r\n|\r)", seen):
        if part == "\r\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part.endswith("m") or not part.startswith(("\x1b", "\r")):
            rows[row] += part
    return rows


def draw(lines: list[str], picture: Path, chromium: str) -> None:
    """Draw a picture of a terminal with these lines."""
    with tempfile.TemporaryDirectory() as scratch, Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True,
            width=COLUMNS,
            file=nowhere,
            force_terminal=True,
            color_system="truecolor",
            highlight=False,
        )
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=False)
        svg = Path(scratch, "picture.svg")
        svg.write_text(
            console.export_svg(title="builder.pex", theme=THEME, code_format=SVG, font_aspect_ratio=0.602)
        )
        found = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg.read_text())
        width, height = (round(float(number)) for number in found.groups()) if found else (0, 0)
        page = Path(scratch, "page.html")
        page.write_text(f"<body style='margin:0;background:transparent'>{svg.read_text()}</body>")
        subprocess.run(
            [
                chromium,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--force-device-scale-factor={SCALE}",
                "--default-background-color=00000000",
                f"--user-data-dir={scratch}/profile",
                f"--window-size={width},{height}",
                f"--screenshot={picture}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
    print(f"{picture.relative_to(REPOSITORY)}: {width} by {height}, {picture.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Deploy twice, and draw both."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("error: there is no chromium\n\nhint: apt-get install chromium")
    with tempfile.TemporaryDirectory() as scratch, CloudServer() as cloud:
        project = Path(scratch, "quickstart")
        shutil.copytree(QUICKSTART, project)
        env = process.clean_environment(
            {
                **cloud.environ(),
                "PYTHONPATH": str(REPOSITORY),
                "TERM": "xterm-256color",
                "GIT_CONFIG_GLOBAL": os.devnull,
            }
        )
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "."],
            ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=Start"],
        ):
            subprocess.run(["git", *words], cwd=project, env=env, check=True)

        def shoot(name: str) -> None:
            seen = on_terminal([sys.executable, "-m", *COMMAND], project, env)
            for address in (cloud.url, cloud.url.removeprefix("http://")):
                seen = seen.replace(address, ORGANIZATION if "://" not in address else f"https://{ORGANIZATION}")
            lines = screen(seen)
            draw([f"$ builder.pex -m {' '.join(COMMAND)}", *lines], PICTURES / name, chromium)

        shoot("deploy-good.png")
        code = project / "quickstart" / "assets.py"
        code.write_text(code.read_text().replace(*CHANGE))
        shoot("deploy-failed.png")


if __name__ == "__main__":
    main()
