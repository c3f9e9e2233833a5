"""GitHub Actions: workflow commands, step outputs and the job summary.

The runner takes each line of a step's output for a command if it begins with `::`, white space aside, or has
`##[` anywhere in it (actions/runner, `ActionCommand.cs`).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from builder.errors import Notice, Origin
from builder.system.redaction import redacted


def in_actions() -> bool:
    """Whether this process runs in a step of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def command(name: str, message: str = "", **properties: str) -> str:
    """A workflow command, one line; empty properties are left out."""
    listed = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' if listed else ''}{listed}::{_escape(message)}"


def annotation(kind: Literal["error", "warning"], message: str, *, where: Origin | None, title: str = "") -> str:
    """The command that shows a message at its file and line; outside the repository there is no such place."""
    file = _in_repository(where)
    line = str(where.line) if file and where and where.line else ""
    return command(kind, message, file=file, line=line, title=title)


def neutralised(text: str) -> str:
    """A text that the runner takes for no command."""
    return "\n".join(_neutralised_line(line) for line in text.split("\n"))


def write_outputs(path: Path, outputs: Mapping[str, str]) -> Notice | None:
    """Add a step's outputs to the file that `GITHUB_OUTPUT` names; a Notice if that is impossible."""
    lines = []
    for name, value in outputs.items():
        # A random delimiter, so that no value can contain it and define another output.
        delimiter = f"builder-{os.urandom(16).hex()}"
        lines.append(f"{name}<<{delimiter}\n{redacted(value)}\n{delimiter}\n")
    return _append(path, "".join(lines), "outputs")


def append_summary(path: Path, markdown: str) -> Notice | None:
    """Add to the job summary, the file that `GITHUB_STEP_SUMMARY` names; a Notice if that is impossible."""
    return _append(path, redacted(markdown).rstrip("\n") + "\n\n", "job summary")


def _append(path: Path, text: str, what: str) -> Notice | None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return Notice(f"the {what} of this step could not be written: {reason}", Origin(path))
    return None


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")


def _neutralised_line(line: str) -> str:
    # The runner compares by the rules of a language, to which characters without a width are nothing.
    bare = "".join(character for character in line if unicodedata.category(character) != "Cf")
    if bare.lstrip().startswith("::"):
        return bare.replace("::", ": :", 1).replace("##[", "## [")
    return bare.replace("##[", "## [") if "##[" in bare else line


def _in_repository(where: Origin | None) -> str:
    """Relative to the checkout, as an annotation wants it; empty outside."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if where is None or not workspace:
        return ""
    for root, path in (
        (Path(workspace), where.path.absolute()),
        (Path(workspace).resolve(), where.path.resolve()),
    ):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return ""
